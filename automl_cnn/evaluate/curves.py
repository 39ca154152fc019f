"""How well each class's probability separates it from the rest: ROC and precision-recall curves, and their areas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from automl_cnn.artifacts import Table

MOST_POINTS = 200  # a curve
CURVES = Table("curves", 1, ("label", "curve", "x", "y", "threshold"))


@dataclass(frozen=True)
class ClassCurves:
    """Every class against all others.

    Attributes:
        table: CURVES table, at most MOST_POINTS rows a curve. curve is `roc`, with the false positive rate as x and the
            true positive rate as y, or `precision_recall`, with recall as x and precision as y; threshold is the least
            probability that is accepted there, NaN where none is.
        roc_auc, average_precision: one a class, 0…1, of all points; None where the images are all of this class, or
            none is, and there is no curve.
    """

    table: pd.DataFrame
    roc_auc: tuple[float | None, ...]
    average_precision: tuple[float | None, ...]


def class_curves(labels: NDArray[np.int64], probabilities: NDArray[np.float32], class_names: list[str]) -> ClassCurves:
    """Draw the two curves of every class.

    Args:
        labels: int64 [n], indices into `class_names`.
        probabilities: float32 [n, classes] in 0…1.
        class_names: one a column.
    """
    parts = [pd.DataFrame({name: pd.Series(dtype="str" if name in ("label", "curve") else "float64")
                           for name in CURVES.columns})]  # fmt: skip
    areas: list[tuple[float | None, float | None]] = []
    for i, name in enumerate(class_names):
        positive, given = labels == i, probabilities[:, i]
        if positive.all() or not positive.any():
            areas.append((None, None))
            continue
        false_rate, true_rate, accepted = roc_curve(positive, given)
        precision, recall, least = precision_recall_curve(positive, given, drop_intermediate=True)
        accepted = np.where(np.isfinite(accepted), accepted, np.nan)
        parts.append(_curve(name, "roc", false_rate, true_rate, accepted))
        parts.append(_curve(name, "precision_recall", recall[::-1], precision[::-1], np.r_[least, np.nan][::-1]))
        areas.append((float(auc(false_rate, true_rate)), float(average_precision_score(positive, given))))
    roc, ap = zip(*areas, strict=True)
    return ClassCurves(pd.concat(parts, ignore_index=True), roc, ap)


def mean_area(areas: tuple[float | None, ...]) -> float | None:
    """The mean over the classes that have a curve; None where none has."""
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else None


def thinned(x: NDArray[np.float64], y: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Which points of a curve to keep so that nobody sees the difference.

    Args:
        x, y: float64 [n], in the order in which they are drawn.
        most: points to keep, at least 2.
    Returns:
        Ascending indices, both ends among them, evenly spaced along the curve: every point that is left out lies no
        further from one that is kept than a step of 1 / (most − 1) of the curve's length.
    """
    if len(x) <= most:
        return np.arange(len(x))
    along = np.r_[0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
    wanted = np.linspace(0, along[-1], most)
    return np.unique(np.r_[np.searchsorted(along, wanted[:-1]), len(x) - 1]).astype(np.int64)


def _curve(
    label: str, curve: str, x: NDArray[np.float64], y: NDArray[np.float64], threshold: NDArray[np.float64]
) -> pd.DataFrame:
    kept = thinned(x, y, MOST_POINTS)
    columns = {"x": x[kept], "y": y[kept], "threshold": threshold[kept].astype(np.float64)}
    return pd.DataFrame({"label": label, "curve": curve, **columns})
