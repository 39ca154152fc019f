"""The small dense network of a head in numpy: forward, gradient, one step of an optimizer.

Keras needs 0.6 s to trace and compile a head anew for every trial, more than the training itself takes here
(docs/training.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Layer = tuple[Array, Array]
"""Kernel [inputs, outputs] and bias [outputs]."""

FOCAL_GAMMA = 2.0
MOMENTUM, SECOND_MOMENT, EPSILON = 0.9, 0.999, 1e-7
LARGEST_UNIT = 6.0


def initial_layers(width: int, hidden_units: int, classes: int, rng: np.random.Generator) -> list[Layer]:
    """Layers of a head: the last one starts at zero, so that training starts at equal probabilities."""
    last = (np.zeros((hidden_units or width, classes), np.float32), np.zeros(classes, np.float32))
    if not hidden_units:
        return [last]
    kernel = rng.standard_normal((width, hidden_units), np.float32) * np.float32(np.sqrt(1 / width))
    spread = rng.standard_normal(last[0].shape, np.float32) * np.float32(np.sqrt(1 / hidden_units))
    return [(kernel, np.zeros(hidden_units, np.float32)), (spread, last[1])]


def logits_of(layers: list[Layer], features: Array) -> Array:
    """Logits float32 [n, classes] without dropout; between two layers stands ReLU6."""
    x = features
    for kernel, bias in layers[:-1]:
        x = np.clip(x @ kernel + bias, 0, LARGEST_UNIT)
    return np.asarray(x @ layers[-1][0] + layers[-1][1])


def gradients(
    layers: list[Layer], batch: Array, targets: Array, weights: Array, loss: str, dropout: Dropout
) -> list[Layer]:
    """Gradient of the mean loss over a batch.

    Args:
        layers: one or two.
        batch: float32 [b, width]; overwritten.
        targets: float32 [b, classes], rows that add up to one.
        weights: float32 [b], of the images.
        loss: cross_entropy, or focal (exponent 2).
        dropout: of the batch and of the hidden units.
    Returns:
        In the order and shapes of `layers`.
    """
    share: Array = np.asarray(weights / len(batch), np.float32)[:, None]
    dropout.apply(batch)
    if len(layers) == 1:
        slope = _logit_gradient(batch @ layers[0][0] + layers[0][1], targets, loss) * share
        return [(batch.T @ slope, slope.sum(axis=0))]
    (kernel, bias), (last, last_bias) = layers
    units = batch @ kernel
    units += bias
    passes = (units > 0) & (units < LARGEST_UNIT)
    np.clip(units, 0, LARGEST_UNIT, out=units)
    kept = dropout.apply(units)
    slope = _logit_gradient(np.asarray(units @ last + last_bias, np.float32), targets, loss) * share
    back = slope @ last.T
    back *= passes
    if kept is not None:
        back *= kept
    return [(batch.T @ back, back.sum(axis=0)), (units.T @ slope, slope.sum(axis=0))]


class Dropout:
    """Sets values to zero by chance and raises the others so that the mean stays.

    Masks are windows at random places of one long row of draws, renewed by `renew`: a fresh draw for every batch is
    otherwise most of a linear head's time.

    Args:
        rate: 0 to below 1.
        longest: most values that `apply` is given.
        rng: its state moves on.
    """

    def __init__(self, rate: float, longest: int, rng: np.random.Generator) -> None:
        self._rate, self._longest, self._rng = rate, longest, rng
        self._row = np.zeros(0, np.float32)

    def renew(self) -> None:
        """Draw anew; before the first batch and once an epoch."""
        if self._rate:
            kept = self._rng.random(2 * self._longest, np.float32) >= np.float32(self._rate)
            self._row = kept * np.float32(1 / (1 - self._rate))

    def apply(self, values: Array) -> Array | None:
        """Multiply `values` in place by a mask; the mask, or None where nothing is dropped."""
        if not self._rate:
            return None
        start = int(self._rng.integers(0, len(self._row) - values.size + 1))
        mask = self._row[start : start + values.size].reshape(values.shape)
        values *= mask
        return mask


@dataclass
class Optimizer:
    """AdamW, or stochastic gradient descent with Nesterov's momentum; both with decoupled decay of the kernels.

    Attributes:
        kind: adamw or sgd.
        weight_decay: a kernel loses this share times the rate a step.
    """

    kind: str
    weight_decay: float
    _steps: int = 0
    _first: list[Array] = field(default_factory=list)
    _second: list[Array] = field(default_factory=list)

    def step(self, layers: list[Layer], slopes: list[Layer], rate: float) -> None:
        """Change `layers` in place.

        Source: Loshchilov and Hutter 2019; Sutskever et al. 2013.
        """
        arrays = [array for layer in layers for array in layer]
        if not self._first:
            self._first, self._second = ([np.zeros_like(array) for array in arrays] for _ in range(2))
        self._steps += 1
        first_bias, second_bias = 1 - MOMENTUM**self._steps, 1 - SECOND_MOMENT**self._steps
        for index, slope in enumerate(slope for layer in slopes for slope in layer):
            array, first, second = arrays[index], self._first[index], self._second[index]
            first *= np.float32(MOMENTUM)
            if self.kind == "sgd":
                first += slope
                change = slope + np.float32(MOMENTUM) * first
            else:
                first += np.float32(1 - MOMENTUM) * slope
                second *= np.float32(SECOND_MOMENT)
                second += np.float32(1 - SECOND_MOMENT) * (slope * slope)
                change = np.sqrt(second)
                change *= np.float32(1 / np.sqrt(second_bias))
                change += np.float32(EPSILON)
                np.divide(first, change, out=change)
                change *= np.float32(1 / first_bias)
            if array.ndim == 2:
                array *= np.float32(1 - rate * self.weight_decay)
            change *= np.float32(rate)
            array -= change


def _logit_gradient(logits: Array, targets: Array, loss: str) -> Array:
    """Gradient of each image's loss with respect to its logits, float32 [b, classes]."""
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    if loss == "cross_entropy":
        return np.asarray(probabilities - targets)
    # Lin et al. 2017: −Σ target · (1 − p)^γ · log p, for targets that need not be one-hot
    gamma = np.float32(FOCAL_GAMMA)
    rest = 1 - probabilities
    inner = gamma * probabilities * rest ** (gamma - 1) * np.log(probabilities + np.float32(EPSILON)) - rest**gamma
    inner *= targets
    return np.asarray(inner - probabilities * inner.sum(axis=1, keepdims=True))
