"""How strange an image is to a model: how far its sketch lies from those of the training images.

Source: Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBOUR = 5  # the distance to this one counts: one odd training image must not make its like look usual
USUAL_SHARE = 0.95  # of images like those trained on that lie below the threshold
_AT_ONCE = 4096


def scores(sketches: NDArray[np.float32], bank: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score images; the larger, the stranger.

    Args:
        sketches: float32 [n, k] of unit length.
        bank: float32 [m, k], those of training images; m ≥ 1.
    Returns:
        float64 [n], 0…2: one minus the cosine to the nearest NEIGHBOUR-th of the bank.
    """
    which = min(NEIGHBOUR, len(bank)) - 1
    found = np.empty(len(sketches), np.float64)
    for start in range(0, len(sketches), _AT_ONCE):
        distances = 1.0 - sketches[start : start + _AT_ONCE].astype(np.float64) @ bank.T.astype(np.float64)
        found[start : start + _AT_ONCE] = np.partition(distances, which, axis=1)[:, which]
    return np.clip(found, 0.0, 2.0)


def threshold(validation_scores: NDArray[np.float64]) -> float:
    """The score that USUAL_SHARE of the images of validation stay below or reach."""
    return float(np.quantile(validation_scores, USUAL_SHARE, method="higher"))
