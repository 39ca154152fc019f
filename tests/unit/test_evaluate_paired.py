"""Is B better than A: said only where the test set can tell, and with the size it would take where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from automl_cnn.evaluate.metrics import score_probabilities
from automl_cnn.evaluate.paired import METRICS, Comparison, compare_paired


def _answers(right: NDArray[np.bool_], labels: NDArray[np.int64], classes: int = 2) -> NDArray[np.float32]:
    """A model that is sure of the label where it is right, of the next class where it is not."""
    said = np.where(right, labels, (labels + 1) % classes)
    return (0.1 + 0.8 * np.eye(classes)[said]).astype(np.float32)


def _compare(
    first: NDArray[np.bool_], second: NDArray[np.bool_], groups: NDArray[np.int64] | None = None
) -> Comparison:
    labels = (np.arange(len(first)) % 2).astype(np.int64)
    return compare_paired(
        labels, _answers(first, labels), _answers(second, labels),
        np.arange(len(first)) if groups is None else groups, resamples=2000, confidence=0.95, seed=1,
    )  # fmt: skip


def _right(n: int, mistakes: slice) -> NDArray[np.bool_]:
    right = np.ones(n, bool)
    right[mistakes] = False
    return right


def test_a_model_with_clearly_fewer_mistakes_is_better_and_the_other_one_worse() -> None:
    poor, good = _right(400, slice(0, 80)), _right(400, slice(60, 100))
    assert _compare(poor, good).verdict == "better"
    assert _compare(good, poor).verdict == "worse"
    assert _compare(poor, good).sentence("A", "B").startswith("B is better than A: +10.0 points of accuracy")


def test_eight_images_are_too_few_to_tell_and_the_sentence_says_how_many_it_takes() -> None:
    found = _compare(_right(8, slice(0, 3)), _right(8, slice(2, 4)))
    assert found.verdict == "too_small_to_tell"
    assert found.images_needed is not None
    assert found.images_needed > 8
    assert "too small to tell" in found.sentence()
    assert "80 % power" in found.sentence()


def test_with_single_images_the_permutation_test_is_mcnemars() -> None:
    found = _compare(_right(100, slice(0, 8)), _right(100, slice(7, 9)))  # 7 won, 1 lost
    assert found.differences["accuracy"].p_value == pytest.approx(stats.binomtest(1, 8).pvalue)


def test_four_wins_without_a_loss_are_no_proof_however_narrow_the_interval() -> None:
    found = _compare(_right(200, slice(0, 4)), _right(200, slice(0, 0)))
    assert found.differences["accuracy"].p_value == pytest.approx(0.125)
    assert found.verdict == "too_small_to_tell"


def test_forty_photos_of_two_patients_prove_less_than_forty_patients() -> None:
    first, second = _right(40, slice(0, 20)), _right(40, slice(0, 0))
    assert _compare(first, second).verdict == "better"
    assert _compare(first, second, np.arange(40) // 20).verdict == "too_small_to_tell"


def test_two_models_of_equal_answers_have_nothing_to_tell_apart() -> None:
    same = _compare(_right(50, slice(0, 5)), _right(50, slice(0, 5)))
    assert same.verdict == "too_small_to_tell"
    assert [found.value for found in same.differences.values()] == [0, 0, 0, 0]
    assert [found.p_value for found in same.differences.values()] == [1, 1, 1, 1]
    assert "same class" in same.sentence()
    assert same.images_needed is None
    assert 0 < same.detectable < 1


def test_the_images_whose_class_changed_are_named() -> None:
    assert _compare(_right(10, slice(0, 2)), _right(10, slice(1, 4))).changed.tolist() == [0, 2, 3]


def test_the_set_size_that_it_asks_for_does_show_the_difference() -> None:
    first, second = _right(100, slice(0, 16)), _right(100, slice(8, 20))  # 8 won, 4 lost
    found = _compare(first, second)
    assert found.verdict == "too_small_to_tell"
    times = -(-(found.images_needed or 0) // 100)
    assert _compare(np.tile(first, times), np.tile(second, times)).verdict != "too_small_to_tell"


def test_four_of_eight_images_won_ask_for_more_than_eight_and_for_a_larger_difference() -> None:
    found = _compare(_right(8, slice(0, 4)), _right(8, slice(0, 0)))
    assert found.verdict == "too_small_to_tell"
    assert found.differences["accuracy"].value == 0.5
    assert found.images_needed == 12, "six images that tell the models apart, where four of eight did"
    assert found.detectable == 0.75, "six of eight"
    assert "one of about 75.0 points (80 % power); this one takes about 12 images" in found.sentence()


def test_two_patients_who_both_speak_for_one_model_are_asked_for_four_more() -> None:
    found = _compare(_right(40, slice(0, 40)), _right(40, slice(0, 0)), np.arange(40) // 20)
    assert found.verdict == "too_small_to_tell"
    assert (found.images_needed, found.detectable) == (120, 1.0)


@given(st.integers(2, 30), st.integers(0, 10_000), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_what_it_asks_for_is_never_less_than_what_was_not_enough(n: int, seed: int, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    first, second = (_answers(rng.random(n) < share, labels) for share in rng.random(2))
    groups = np.unique(rng.integers(0, n, n), return_inverse=True)[1].astype(np.int64)
    found = compare_paired(labels, first, second, groups, resamples=500, confidence=confidence, seed=1)
    difference = abs(found.differences["accuracy"].value)
    assert (found.images_needed is None) == (difference == 0)
    if found.verdict == "too_small_to_tell":
        assert difference - 1e-9 <= found.detectable <= 1
        assert (found.images_needed or n + 1) > n


@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_swapping_the_models_turns_every_figure_round(n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    first, second = (rng.dirichlet([0.5] * classes, n).astype(np.float32) for _ in range(2))
    groups = np.unique(rng.integers(0, n, n), return_inverse=True)[1].astype(np.int64)
    there, back = (
        compare_paired(labels, a, b, groups, resamples=100, confidence=0.9, seed=3)
        for a, b in ((first, second), (second, first))
    )
    names = [str(i) for i in range(classes)]
    scores = [score_probabilities(labels, part, names, 15) for part in (first, second)]
    for name in METRICS:
        one, other = there.differences[name], back.differences[name]
        assert one.value == pytest.approx(getattr(scores[1], name) - getattr(scores[0], name), abs=1e-6)
        assert one.value == pytest.approx(-other.value)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-9)
        assert 0 < one.p_value <= 1
        assert one.p_value == pytest.approx(other.p_value)


def test_models_that_answered_other_images_are_refused() -> None:
    some = np.full((3, 2), 0.5, np.float32)
    with pytest.raises(ValueError, match=r"shape \(3, 2\) and \(2, 2\)"):
        compare_paired(np.zeros(3, int), some, some[:2], np.arange(3), resamples=100, confidence=0.95, seed=1)
