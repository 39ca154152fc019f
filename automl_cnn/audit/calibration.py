"""Scores into probabilities: one slope and an offset a class, fitted to labels or to beliefs about them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

_OFFSET_PENALTY = 5e-4
_SLOPES = (0.1, 50.0)


def calibrate(scores: NDArray[np.float64], given: NDArray[np.int64]) -> NDArray[np.float64]:
    """softmax(slope · scores + offset) that explains the given labels best.

    Args:
        scores: float64 [n, K], out-of-fold.
        given: int64 [n], 0 to K − 1.
    Returns:
        float64 [n, K]; rows add up to 1.
    """
    start = np.r_[5.0, np.zeros(scores.shape[1])]
    return apply_slope(scores, fit_slope(scores, np.eye(scores.shape[1])[given], start))


def fit_slope(
    scores: NDArray[np.float64], beliefs: NDArray[np.float64], start: NDArray[np.float64], steps: int = 100
) -> NDArray[np.float64]:
    """Slope and offsets with the smallest cross-entropy to `beliefs`.

    Args:
        scores: float64 [n, K].
        beliefs: float64 [n, K], probabilities of each class; rows add up to 1.
        start: float64 [1 + K], slope and offsets to begin with.
        steps: of L-BFGS at most.
    Returns:
        float64 [1 + K]: the slope, then an offset a class.
    """
    images = len(scores)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = parameters[0] * scores + parameters[1:]
        top = logits.max(axis=1, keepdims=True)
        powers = np.exp(logits - top)
        total = powers.sum(axis=1, keepdims=True)
        entropy = (np.log(total) + top).sum() - (beliefs * logits).sum()
        error = powers / total - beliefs
        gradient = np.r_[(error * scores).sum(), error.sum(axis=0)] / images
        gradient[1:] += 2 * _OFFSET_PENALTY * parameters[1:]
        return float(entropy) / images + _OFFSET_PENALTY * float(parameters[1:] @ parameters[1:]), gradient

    bounds = [_SLOPES] + [(None, None)] * scores.shape[1]
    fitted: NDArray[np.float64] = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}
    ).x
    return fitted


def apply_slope(scores: NDArray[np.float64], parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities float64 [n, K] of scores [n, K] under the parameters that `fit_slope` gave."""
    probabilities: NDArray[np.float64] = softmax(parameters[0] * scores + parameters[1:], axis=1)
    return probabilities
