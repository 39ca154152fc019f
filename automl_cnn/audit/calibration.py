"""Scores into probabilities: one slope and an offset a class, fitted to labels or to beliefs about them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

_OFFSET_PENALTY = 5e-4
_SLOPES = (0.1, 50.0)
_SLOPE_DAMPING = 1e-9  # where all scores are alike no slope is better than another
_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.02)  # of a step, the first that lowers the loss
_FLAT = 1e-10  # promised gain at which the search ends


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
    scores: NDArray[np.float64], beliefs: NDArray[np.float64], start: NDArray[np.float64], steps: int = 50
) -> NDArray[np.float64]:
    """Slope and offsets with the smallest cross-entropy to `beliefs`, by Newton's method.

    The loss is convex in 1 + K unknowns, whose second derivatives cost no more than the first: two or three steps do
    what ten of L-BFGS did.

    Args:
        scores: float64 [n, K].
        beliefs: float64 [n, K], probabilities of each class; rows add up to 1.
        start: float64 [1 + K], slope and offsets to begin with.
        steps: at most.
    Returns:
        float64 [1 + K]: the slope, 0.1 to 50, then an offset a class.
    """
    parameters = start.copy()
    loss, probabilities = _cross_entropy(scores, beliefs, parameters)
    for _ in range(steps):
        gradient, curvature = _derivatives(scores, beliefs, probabilities, parameters)
        change = np.linalg.solve(curvature, gradient)
        if float(gradient @ change) < _FLAT:
            break
        for length in _LENGTHS:
            tried = parameters - length * change
            tried[0] = np.clip(tried[0], *_SLOPES)
            tried_loss, tried_probabilities = _cross_entropy(scores, beliefs, tried)
            if tried_loss < loss:
                break
        else:
            break
        parameters, loss, probabilities = tried, tried_loss, tried_probabilities
    return parameters


def _cross_entropy(
    scores: NDArray[np.float64], beliefs: NDArray[np.float64], parameters: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """The loss with its penalty, and the probabilities float64 [n, K]."""
    logits = parameters[0] * scores + parameters[1:]
    logits -= logits.max(axis=1, keepdims=True)
    powers = np.exp(logits)
    total = powers.sum(axis=1, keepdims=True)
    entropy = (float(np.log(total).sum()) - float((beliefs * logits).sum())) / len(scores)
    return entropy + _OFFSET_PENALTY * float(parameters[1:] @ parameters[1:]), powers / total


def _derivatives(
    scores: NDArray[np.float64],
    beliefs: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    parameters: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and second derivatives of the loss: float64 [1 + K] and [1 + K, 1 + K]."""
    images, classes = scores.shape
    error = probabilities - beliefs
    gradient = np.r_[float((error * scores).sum()), error.sum(axis=0)] / images
    gradient[1:] += 2 * _OFFSET_PENALTY * parameters[1:]
    weighted = probabilities * scores
    centre = weighted.sum(axis=1, keepdims=True)
    curvature = np.empty((1 + classes, 1 + classes))
    curvature[0, 0] = float((weighted * scores).sum() - np.square(centre).sum()) / images + _SLOPE_DAMPING
    curvature[0, 1:] = curvature[1:, 0] = (weighted - probabilities * centre).sum(axis=0) / images
    curvature[1:, 1:] = -(probabilities.T @ probabilities) / images
    curvature[1:, 1:] += np.diag(probabilities.mean(axis=0) + 2 * _OFFSET_PENALTY)
    return gradient, curvature


def apply_slope(scores: NDArray[np.float64], parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities float64 [n, K] of scores [n, K] under the parameters that `fit_slope` gave."""
    probabilities: NDArray[np.float64] = softmax(parameters[0] * scores + parameters[1:], axis=1)
    return probabilities
