"""What a search maximizes, how surely validation knows it, and what settles what it does not know.

The best of many noisy scores is the luckiest one. So a score that another beats by less than the standard error counts
as equal to it, and of equal candidates the one with the lower log loss is taken: every image has its say in that, not
only those near the border between two classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.train.calibration import fit_temperature, scaled_losses


def objective_score(name: str, labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    """Score predictions on validation.

    Args:
        name: macro_f1, accuracy or balanced_accuracy.
        labels: int64 [n].
        probabilities: float32 [n, classes].
    Returns:
        0 to 1, higher is better; means over the classes that occur, those of macro_f1 among labels or answers, as
        `evaluate.metrics` has it; NaN when a probability is NaN, so that a diverged trial counts as failed.
    """
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    if not np.isfinite(probabilities).all():
        return float("nan")
    predicted = probabilities.argmax(axis=1)
    if name == "macro_f1":
        return float(f1_score(labels, predicted, average="macro", zero_division=0))
    if name == "balanced_accuracy":
        return float(recall_score(labels, predicted, average="macro", labels=np.unique(labels), zero_division=0))
    return float(accuracy_score(labels, predicted))


def standard_error(name: str, labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    """How far the score of `objective_score` may be off for want of validation images.

    Args:
        name, labels, probabilities: as of `objective_score`.
    Returns:
        0 to 0.5. Of macro_f1 that of the mean recall, which is near it.
    Source: of shares, with half an image added to hits and misses, so that none is certain; images as independent.
    """
    hits = probabilities.argmax(axis=1) == labels
    if name == "accuracy":
        return float(np.sqrt(_variance(hits.sum(), len(hits))))
    counts = np.bincount(labels)
    present = counts > 0
    each = _variance(np.bincount(labels, weights=hits)[present], counts[present])
    return float(np.sqrt(each.sum()) / present.sum())


def decisive_loss(name: str, labels: NDArray[np.int64], logits: NDArray[np.float32]) -> float:
    """The log loss that settles equal scores, in nats, after temperature scaling.

    Args:
        name: as of `objective_score`: accuracy counts images alike, the others classes.
        labels: int64 [n].
        logits: float32 [n, classes].
    Returns:
        At least 0; NaN when a logit is no number.
    """
    if not np.isfinite(logits).all():
        return float("nan")
    losses = scaled_losses(logits, labels, fit_temperature(logits, labels))
    if name == "accuracy":
        return float(losses.mean())
    counts = np.bincount(labels)
    return float((np.bincount(labels, weights=losses)[counts > 0] / counts[counts > 0]).mean())


def _variance(hits: Any, of: Any) -> Any:
    """Of a share of hits."""
    share = (hits + 0.5) / (of + 1)
    return share * (1 - share) / (of + 1)
