"""From which probability on an answer can be relied upon, class by class, as validation shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

PRECISIONS = (0.90, 0.95, 0.99)
USUAL_PRECISION = 0.90  # the one that `predict` abstains by


def thresholds(
    answers: NDArray[np.int64], probabilities: NDArray[np.float32], labels: Sequence[str], precision: float
) -> dict[str, float | None]:
    """Find the least probability from which answers of a class are right often enough.

    One wrong answer more than there were is counted, so that "right in ten of ten" is ten of eleven: with few images
    nothing is promised that they cannot show.

    Args:
        answers: int64 [n], the true classes.
        probabilities: float32 [n, classes].
        labels: names of the classes.
        precision: share of right answers that is wanted, 0…1.
    Returns:
        Class → threshold; 0.0 where every answer is good enough, None where no part of them is.
    """
    predicted, given = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found: dict[str, float | None] = {}
    for index, label in enumerate(labels):
        own = predicted == index
        order = np.argsort(-given[own], kind="stable")
        probability, right = given[own][order], (answers[own] == index)[order]
        counts = np.arange(1, len(right) + 1)
        enough = np.cumsum(right) >= precision * (counts + 1) - 1e-9
        whole = np.append(probability[1:] < probability[:-1], True)[: len(right)]  # equal ones stand or fall together
        last = np.flatnonzero(enough & whole)
        if not len(last):
            found[label] = None
        else:
            found[label] = 0.0 if last[-1] == len(right) - 1 else float(probability[last[-1]])
    return found


def abstains(label: str, probability: float, least: Mapping[str, float | None]) -> bool:
    """Whether an answer stays below the threshold of its class."""
    wanted = least.get(label)
    return wanted is None or probability < wanted
