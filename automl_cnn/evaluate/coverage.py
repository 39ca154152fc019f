"""What it costs to be sure: how many test images are answered at a wanted precision, and whether it is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.evaluate.intervals import bootstrap_counts, share_interval

Thresholds = Mapping[float, Mapping[str, float | None]]
"""Wanted precision → class → least probability from which it is answered; None: never. From validation."""


def measure_coverage(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    groups: NDArray[np.int64],
    class_names: list[str],
    thresholds: Thresholds,
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Apply thresholds that were found on validation to the test split.

    An image is answered when the probability of its most probable class reaches that class's threshold.

    Args:
        labels: int64 [n], indices into `class_names`.
        probabilities: float32 [n, classes] in 0…1.
        groups: int64 [n], 0 … groups − 1; images of a group are drawn together.
        class_names: one a column.
        thresholds: as in `Reference.thresholds`.
        resamples, seed: of the intervals.
    Returns:
        What coverage.json holds, one object a wanted precision, the lowest first: wanted (0…1), images, answered,
        coverage (answered / images), precision (hits / answered; None where nothing is answered), and classes, a list
        of label, threshold (None: never answered), predicted (images), answered, coverage (answered / predicted) and
        precision. Beside every coverage and precision stands its 95 % interval, coverage_ci95 and precision_ci95:
        [low, high], or None where there is no score.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    hit = predicted == labels
    levels = []
    for wanted in sorted(thresholds):
        given = [thresholds[wanted].get(name) for name in class_names]
        least = np.array([np.inf if value is None else value for value in given])
        answered = confidence >= least[predicted]
        steps = (np.ones_like(hit), answered, answered & hit)
        drawn = [
            bootstrap_counts(predicted, step, groups, len(given), resamples=resamples, seed=seed) for step in steps
        ]
        overall = _shares(steps, [counts.sum(axis=0) for counts in drawn], groups)
        classes = []
        for i, (name, threshold) in enumerate(zip(class_names, given, strict=True)):
            row = _shares([step & (predicted == i) for step in steps], [counts[i] for counts in drawn], groups)
            classes.append({"label": name, "threshold": threshold, "predicted": row.pop("images"), **row})
        levels.append({"wanted": wanted, **overall, "classes": classes})
    return levels


def _shares(
    steps: Sequence[NDArray[np.bool_]], drawn: Sequence[NDArray[np.float64]], groups: NDArray[np.int64]
) -> dict[str, Any]:
    """Coverage and precision of images, answered ones and hits: bool [n] each, and how many every draw has of them."""
    images, answered, hits = (int(step.sum()) for step in steps)
    return {
        "images": images,
        "answered": answered,
        **_share("coverage", answered, images, drawn[1], drawn[0], groups[steps[0]]),
        **_share("precision", hits, answered, drawn[2], drawn[1], groups[steps[1]]),
    }


def _share(
    name: str,
    above: int,
    below: int,
    drawn_above: NDArray[np.float64],
    drawn_below: NDArray[np.float64],
    groups: NDArray[np.int64],
) -> dict[str, Any]:
    if not below:
        return {name: None, f"{name}_ci95": None}
    samples = np.where(drawn_below > 0, drawn_above / np.maximum(drawn_below, 1), np.nan)
    interval = share_interval(samples, above / below, len(np.unique(groups)), 0.95)
    return {name: above / below, f"{name}_ci95": interval}
