"""coverage.json: thresholds from validation, what they cost and what they keep on the test split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl_cnn.evaluate.coverage import Thresholds, measure_coverage

LABELS = np.array([0] * 10 + [1] * 10)


def _measure(confidence: list[float], thresholds: Thresholds) -> list[dict[str, Any]]:
    """Twenty images, ten answered a, ten b, one mistake among the a; confidences of a, then of b."""
    given = np.array([[c, 1 - c] for c in confidence[:10]] + [[1 - c, c] for c in confidence[10:]], np.float32)
    labels = LABELS.copy()
    labels[0] = 1
    return measure_coverage(labels, given, np.arange(20), ["a", "b"], thresholds, resamples=200, seed=1)


def test_images_below_the_threshold_of_their_class_are_not_answered() -> None:
    (level,) = _measure([0.6] + [0.9] * 9 + [0.7] * 5 + [0.9] * 5, {0.95: {"a": 0.8, "b": 0.75}})
    assert (level["wanted"], level["images"], level["answered"]) == (0.95, 20, 14)
    assert (level["coverage"], level["precision"]) == (0.7, 1.0)
    a, b = level["classes"]
    assert (a["label"], a["predicted"], a["answered"], a["coverage"], a["threshold"]) == ("a", 10, 9, 0.9, 0.8)
    assert (b["answered"], b["precision"]) == (5, 1.0)
    low, high = level["precision_ci95"]
    assert (high, low < 1) == (1.0, True), "fourteen of fourteen is not certainty"


def test_a_class_that_never_reaches_the_precision_is_never_answered() -> None:
    (level,) = _measure([0.9] * 20, {0.99: {"a": None, "b": 0.0}})
    a, b = level["classes"]
    assert (a["answered"], a["coverage"], a["precision"], a["precision_ci95"]) == (0, 0.0, None, None)
    assert b["coverage"] == 1.0
    assert level["coverage"] == 0.5


def test_the_levels_come_in_their_order_and_the_interval_holds_the_share() -> None:
    levels = _measure([0.9] * 20, {0.99: {"a": 0.0, "b": 0.0}, 0.90: {"a": 0.0, "b": None}})
    assert [level["wanted"] for level in levels] == [0.90, 0.99]
    low, high = levels[1]["precision_ci95"]
    assert levels[1]["precision"] == pytest.approx(0.95)
    assert low < 0.95 < high
