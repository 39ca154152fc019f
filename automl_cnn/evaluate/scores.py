"""Every score of metrics.json with its interval, and the paired difference of two files."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.config import EvaluateParams
from automl_cnn.evaluate.curves import ClassCurves, class_curves, mean_area
from automl_cnn.evaluate.intervals import (
    MEANS_OVER_CLASSES,
    bootstrap_classes,
    bootstrap_scores,
    scarcest_groups,
    share_interval,
)
from automl_cnn.evaluate.metrics import PROBABILITY_FLOOR, score_probabilities

SHARES = ("accuracy", "balanced_accuracy", "macro_f1")
LOSSES = {"log_loss": -math.log(PROBABILITY_FLOOR), "brier": 2.0}  # name → the worst there is


@dataclass(frozen=True)
class Scored:
    """One file on the test split.

    Attributes:
        scores: as metrics.json has them under `test` and `float`.
        samples: name → float64 [resamples], behind the intervals.
        curves: of every class.
        scarcest: groups that the class with the fewest of them has.
    """

    scores: dict[str, Any]
    samples: dict[str, NDArray[np.float64]]
    curves: ClassCurves
    scarcest: int


def score_file(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    groups: NDArray[np.int64],
    class_names: list[str],
    params: EvaluateParams,
) -> Scored:
    """Score the answers of one file.

    Args:
        labels: int64 [n], indices into `class_names`.
        probabilities: float32 [n, classes] in 0…1.
        groups: int64 [n], 0 … groups − 1; the units of the intervals.
        class_names: one a column.
        params: resamples, confidence, bins, seed.
    """
    scores: dict[str, Any] = asdict(score_probabilities(labels, probabilities, class_names, params.calibration_bins))
    samples = bootstrap_scores(
        labels, probabilities, groups,
        resamples=params.bootstrap, bins=params.calibration_bins, seed=params.seed,
    )  # fmt: skip
    n_groups, scarcest = int(groups.max()) + 1, scarcest_groups(labels, groups)
    for name in (*SHARES, *LOSSES):
        high, fewest = LOSSES.get(name, 1.0), scarcest if name in MEANS_OVER_CLASSES else None
        for key, confidence in _interval_keys(name, params):
            scores[key] = share_interval(samples[name], scores[name], n_groups, confidence, high=high, scarcest=fewest)
    scores["top_k_ci95"] = {
        k: share_interval(samples[f"top_{k}"], share, n_groups, 0.95) for k, share in scores["top_k"].items()
    }
    curves = class_curves(labels, probabilities, class_names)
    scores["roc_auc"], scores["average_precision"] = mean_area(curves.roc_auc), mean_area(curves.average_precision)
    intervals = _class_intervals(scores["per_class"], labels, probabilities, groups, params)
    scores["per_class"] = [
        {**line, **interval, "roc_auc": roc_auc, "average_precision": average_precision}
        for line, interval, roc_auc, average_precision in zip(
            scores["per_class"], intervals, curves.roc_auc, curves.average_precision, strict=True
        )
    ]
    return Scored(scores, samples, curves, scarcest)


def difference_of(
    shipped: Scored, twin: Scored, agreement: float, n_groups: int, params: EvaluateParams
) -> dict[str, Any]:
    """Shipped − float, on the same resamples; `agreement` is the share of images with the same prediction."""
    difference: dict[str, Any] = {"agreement": agreement}
    for name in (*LOSSES, "ece"):
        difference[name] = shipped.scores[name] - twin.scores[name]
    for name in SHARES:
        difference[name] = shipped.scores[name] - twin.scores[name]
        samples = shipped.samples[name] - twin.samples[name]
        fewest = shipped.scarcest if name in MEANS_OVER_CLASSES else None
        for key, confidence in _interval_keys(name, params):
            difference[key] = share_interval(samples, difference[name], n_groups, confidence, low=-1.0, scarcest=fewest)
    return difference


def _class_intervals(
    lines: tuple[dict[str, Any], ...],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    groups: NDArray[np.int64],
    params: EvaluateParams,
) -> list[dict[str, list[float] | None]]:
    """The 95 % intervals of precision, recall and F1; a class's units are the groups that have to do with it."""
    samples = bootstrap_classes(labels, probabilities, groups, resamples=params.bootstrap, seed=params.seed)
    predicted = probabilities.argmax(axis=1)
    intervals = []
    for i, line in enumerate(lines):
        units = {"precision": predicted == i, "recall": labels == i, "f1": (predicted == i) | (labels == i)}
        intervals.append({
            f"{name}_ci95": None if line[name] is None
            else share_interval(samples[name][i], line[name], len(np.unique(groups[rows])), 0.95)
            for name, rows in units.items()
        })  # fmt: skip
    return intervals


def _interval_keys(name: str, params: EvaluateParams) -> list[tuple[str, float]]:
    """The 95 % interval is always there, that of another evaluate.confidence beside it: a key never belies its name."""
    return [(f"{name}_ci{100 * level:g}", level) for level in sorted({0.95, params.confidence})]
