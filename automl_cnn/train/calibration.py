"""Make probabilities mean what they say: one temperature, folded into the last layer so that every export has it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from automl_cnn.models.weights import Weights

LOWEST, HIGHEST = 0.2, 5.0


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that minimizes the log loss.

    Args:
        logits: float32 [n, classes] of images that were not trained on.
        labels: int64 [n].
    Returns:
        Within 0.2 and 5; above 1 where the network is overconfident.
    Source: Guo et al. 2017.
    """

    def log_loss(log_temperature: float) -> float:
        return float(scaled_losses(logits, labels, np.exp(log_temperature)).mean())

    found = minimize_scalar(log_loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))


def scaled_losses(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> NDArray[np.float64]:
    """Each image's log loss in nats, float64 [n], after its logits are divided by the temperature."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    losses: NDArray[np.float64] = np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]
    return losses


def fold_temperature(weights: Weights, temperature: float) -> Weights:
    """Weights whose layer `logits` is divided by the temperature; the others are shared, not copied."""
    return {**weights, "logits": [(array / temperature).astype(np.float32) for array in weights["logits"]]}
