"""Which images calibrate and train: laws that hold for any data set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_cnn.errors import QuantizeError
from automl_cnn.quantize.calibrate import choose_calibration
from automl_cnn.quantize.qat import QatSettings, checkpoints, draw_batches, mix_targets

SIZES = st.lists(st.integers(1, 40), min_size=2, max_size=6)


def labels_of(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)


@given(sizes=SIZES, spare=st.integers(0, 200), seed=st.integers(1, 5))
def test_calibration_holds_every_class_nearly_in_proportion(sizes: list[int], spare: int, seed: int) -> None:
    labels, count = labels_of(sizes), len(sizes) + spare
    rows = choose_calibration(labels, [str(index) for index in range(len(sizes))], count, seed)
    taken = np.bincount(labels[rows], minlength=len(sizes))
    assert len(rows) == len(set(rows.tolist())) == min(count, len(labels))
    assert taken.min() >= 1
    share = len(rows) / len(labels)
    assert np.all(taken <= np.array(sizes) * share + 2)


def test_the_same_seed_draws_the_same_calibration_images() -> None:
    labels = labels_of([30, 5, 12])
    first, second, other = (choose_calibration(labels, ["a", "b", "c"], 9, seed) for seed in (1, 1, 2))
    assert first.tolist() == second.tolist()
    assert first.tolist() != other.tolist()


def test_a_class_without_images_is_named() -> None:
    with pytest.raises(QuantizeError, match="none of blowhole"):
        choose_calibration(np.array([0, 0, 2]), ["free", "blowhole", "crack"], 3, 1)


def test_however_few_calibration_images_are_asked_for_every_class_is_among_them() -> None:
    labels = labels_of([5, 4, 1])
    assert sorted(labels[choose_calibration(labels, ["free", "blowhole", "crack"], 2, 1)]) == [0, 1, 2]


@given(images=st.integers(1, 50), steps=st.integers(0, 9), batch_size=st.integers(1, 16))
def test_no_image_is_trained_on_again_before_every_other_was(images: int, steps: int, batch_size: int) -> None:
    batches = draw_batches(images, QatSettings(steps, batch_size, 1e-5, 1))
    assert batches.shape == (steps, batch_size)
    seen = np.bincount(batches.ravel(), minlength=images)
    assert seen.max() - seen.min() <= 1


def test_targets_stand_between_the_float_network_and_the_labels() -> None:
    mixed = mix_targets(np.array([[0.9, 0.1], [0.5, 0.5]], np.float32), np.array([1, 0]), share=0.5)
    np.testing.assert_allclose(mixed, [[0.45, 0.55], [0.75, 0.25]])


@given(steps=st.integers(1, 2000))
def test_the_last_step_is_always_a_checkpoint_and_none_lies_in_the_first_half(steps: int) -> None:
    assert steps in checkpoints(steps)
    assert min(checkpoints(steps)) >= steps / 2
