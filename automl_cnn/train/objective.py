"""What a search maximizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
