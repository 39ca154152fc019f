"""Would more labels help: yes where the curve still rises, no where it is flat, no word where there is too little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.evaluate.learning_curve import Embedded, fit_power_law, measure_learning_curve


def _side(n: int, width: int, apart: float, seed: int) -> Embedded:
    """Two classes as clouds around two points in a space of so many dimensions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    values = rng.normal(size=(n, width))
    values[:, 0] += apart * (2 * labels - 1)
    return Embedded(values, labels.astype(np.int64), np.arange(n).astype(str).astype(object))


def test_where_a_few_images_tell_the_classes_apart_more_do_not_help() -> None:
    found = measure_learning_curve(_side(300, 5, 4.0, 1), _side(200, 5, 4.0, 2), ["a", "b"], seed=1)
    assert found["overall"]["points"][0]["score"] > 0.98
    assert not found["overall"]["helps"]
    assert "hardly help" in found["sentence"]


def test_where_the_curve_still_rises_more_labels_help() -> None:
    found = measure_learning_curve(_side(300, 120, 0.8, 1), _side(400, 120, 0.8, 2), ["a", "b"], seed=1)
    scores = [point["score"] for point in found["overall"]["points"]]
    assert scores[-1] > scores[0] + 0.05
    assert found["overall"]["helps"]
    assert found["overall"]["images_wanted"] > 0
    assert found["overall"]["ahead"]["images"] == 600
    low, high = found["overall"]["ahead"]["gain_ci95"]
    assert low <= found["overall"]["ahead"]["gain"] <= high
    assert [one["label"] for one in found["classes"]] == ["a", "b"]


def test_the_same_seed_gives_the_same_curve() -> None:
    first, second = (
        measure_learning_curve(_side(30, 3, 1.0, 1), _side(20, 3, 1.0, 2), ["a", "b"], seed=3) for _ in range(2)
    )
    assert first == second


def test_with_too_few_images_nothing_is_foretold() -> None:
    found = measure_learning_curve(_side(12, 5, 1.0, 1), _side(10, 5, 1.0, 2), ["a", "b"], seed=1)
    assert found["overall"] is None
    assert "too few" in found["sentence"]


def test_a_class_too_rare_for_a_curve_is_named_and_not_dropped() -> None:
    sides = []
    for seed, rare in ((1, 2), (2, 1)):
        side = _side(300, 5, 4.0, seed)
        labels = side.labels.copy()
        labels[:rare] = 2
        sides.append(Embedded(side.embeddings, labels, side.groups))
    found = measure_learning_curve(*sides, ["a", "b", "rare", "unseen"], seed=1)
    assert [one["label"] for one in found["classes"]] == ["a", "b"]
    counts = [(one["label"], one["training_images"], one["validation_images"]) for one in found["left_out"]]
    assert counts == [("rare", 2, 1), ("unseen", 0, 0)]
    assert {one["note"] for one in found["left_out"]} == {"too few images for a curve: collect more first"}


@given(st.floats(0.0, 0.1), st.floats(0.5, 3.0), st.floats(-0.9, -0.2))
@settings(max_examples=25, deadline=None)
def test_a_curve_that_follows_the_law_is_continued(floor: float, scale: float, slope: float) -> None:
    images = np.array([100.0, 180, 320, 560, 1000])
    errors = floor + scale * images**slope
    law = fit_power_law(images, errors[:, None])
    assert law.error_at(2000)[0] == pytest.approx(floor + scale * 2000**slope, abs=0.01)
    assert law.error_at(law.images_for(law.error_at(700))[0])[0] == pytest.approx(law.error_at(700)[0])


def test_a_curve_that_gets_worse_promises_nothing() -> None:
    law = fit_power_law(np.array([10.0, 20, 40]), np.array([[0.1], [0.2], [0.3]]))
    assert law.error_at(80)[0] == law.error_at(10)[0]
    assert law.images_for(np.array([0.01]))[0] == np.inf
