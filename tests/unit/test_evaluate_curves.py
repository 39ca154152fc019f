"""ROC and precision-recall curves: few points, the same picture, scikit-learn's areas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from automl_cnn.evaluate.curves import MOST_POINTS, class_curves, mean_area, thinned


def test_the_areas_are_those_of_scikit_learn_and_the_thinned_curve_keeps_them() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 3000)
    probabilities = (rng.dirichlet([1, 1, 1], 3000) * 0.7 + np.eye(3)[labels] * 0.3).astype(np.float32)
    found = class_curves(labels, probabilities, ["a", "b", "c"])
    for i, name in enumerate("abc"):
        assert found.roc_auc[i] == pytest.approx(roc_auc_score(labels == i, probabilities[:, i]))
        assert found.average_precision[i] == pytest.approx(average_precision_score(labels == i, probabilities[:, i]))
        drawn = found.table[(found.table["label"] == name) & (found.table["curve"] == "roc")]
        assert len(drawn) <= MOST_POINTS
        assert auc(drawn["x"], drawn["y"]) == pytest.approx(found.roc_auc[i], abs=0.005)
    assert mean_area(found.roc_auc) == pytest.approx(np.mean(found.roc_auc))


def test_a_class_that_no_test_image_bears_has_no_curve_and_no_area() -> None:
    labels = np.array([0, 1, 0, 1])
    found = class_curves(labels, np.eye(3, dtype=np.float32)[labels], ["a", "b", "c"])
    assert found.roc_auc == (1.0, 1.0, None)
    assert set(found.table["label"]) == {"a", "b"}
    assert mean_area(found.average_precision) == 1.0


def test_images_of_one_class_alone_leave_an_empty_table() -> None:
    found = class_curves(np.zeros(5, int), np.full((5, 2), 0.5, np.float32), ["a", "b"])
    assert found.table.empty
    assert mean_area(found.roc_auc) is None


@given(st.integers(2, 500), st.integers(2, 60), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_no_point_that_is_left_out_lies_further_than_a_step_from_one_that_is_kept(n: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.random(n)), rng.random(n)
    kept = thinned(x, y, most)
    assert len(kept) <= max(most, 2)
    assert (kept[0], kept[-1]) == (0, n - 1)
    length = (np.abs(np.diff(x)) + np.abs(np.diff(y))).sum()
    apart = np.abs(x[:, None] - x[kept]) + np.abs(y[:, None] - y[kept])
    assert apart.min(axis=1).max() <= length / (most - 1) + 1e-9
