"""Fit a classification head on frozen features: a fraction of a second where fine-tuning takes minutes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights
from automl_cnn.train.dense import Dropout, Layer, Optimizer, gradients, initial_layers, logits_of
from automl_cnn.train.schedule import warmup_cosine

BATCH = 256
EPOCHS, FEWEST_STEPS = 12, 200  # where so many epochs are fewer steps, all numbers of epochs grow alike
CHECKS = 8
PATIENCE_CHECKS = 3
WARMUP_SHARE = 0.05
SMALLEST_DEVIATION = (
    1.0  # of the median: features that hardly vary, blown up, would drown the head in the rounding of int8
)

Score = Callable[[NDArray[np.int64], NDArray[np.float32]], float]
"""(labels [n], probabilities [n, classes]) → what is maximized."""


@dataclass(frozen=True)
class HeadSettings:
    """How a head is trained.

    Attributes:
        learning_rate: peak rate on standardized features; falls to zero along a cosine.
        weight_decay: decoupled decay of the kernels.
        label_smoothing: share of the target spread over all classes, 0 to below 1.
        balanced: weigh classes by the inverse of their frequency.
        epochs: times that an image is seen at most, each time in one of its views; of small sets, of which EPOCHS
            epochs are fewer than FEWEST_STEPS steps, as many times more.
        seed: of initial weights, order, views, dropout and mixup.
        loss: cross_entropy or focal (exponent 2).
        optimizer: adamw, or sgd with momentum 0.9, which needs about ten times the rate.
        mixup: shape α of the Beta distribution by which two images' features and targets are mixed; 0 for not at all.
    """

    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0
    balanced: bool = False
    epochs: int = EPOCHS
    seed: int = 1
    loss: str = "cross_entropy"
    optimizer: str = "adamw"
    mixup: float = 0.0


@dataclass(frozen=True)
class FittedHead:
    """A trained head.

    Attributes:
        weights: of the layers `hidden` (if there is one) and `logits`, as `build_classifier` names them.
        logits: float32 [n_validation, classes].
        score: on validation, at the epoch that was kept; NaN for a head that nobody has scored yet.
        epochs: times that every image was seen.
    """

    weights: Weights
    logits: NDArray[np.float32]
    score: float
    epochs: int

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """float32 [n_validation, classes]."""
        return softmax(self.logits)


def fit_head(
    spec: ClassifierSpec,
    settings: HeadSettings,
    views: list[NDArray[Any]],
    labels: NDArray[np.int64],
    validation: tuple[NDArray[Any], NDArray[np.int64]],
    score: Score,
    standard_error: Score = lambda labels, probabilities: 0.0,
) -> FittedHead:
    """Train a head on frozen features and keep the last epoch that validation cannot tell from the best.

    Every feature is brought to mean 0 and deviation 1 over the training images; the kernels that come back take
    features as they are.

    Args:
        spec: hidden units, dropout and number of classes; the backbone itself is not built.
        settings: how to train.
        views: features [n, d] of the training images, one array a view.
        labels: int64 [n].
        validation: features [m, d] and labels int64 [m].
        score: what is maximized on validation.
        standard_error: how much of it is chance.
    Returns:
        The head at that epoch. The same for the same arguments, on one core or many.
    """
    features = [np.array(view, np.float32) for view in views]
    mean, deviation = _moments(features)
    for values in (*features, held_out := np.array(validation[0], np.float32)):
        values -= mean
        values /= deviation
    rng = np.random.default_rng(settings.seed)
    layers = initial_layers(features[0].shape[1], spec.hidden_units, spec.classes, rng)
    optimizer = Optimizer(settings.optimizer, settings.weight_decay)
    dropout = Dropout(spec.dropout, BATCH * max(features[0].shape[1], spec.hidden_units), rng)
    weights = class_weights(labels, spec.classes, settings.balanced)[labels]
    targets = _smoothed(labels, spec.classes, settings.label_smoothing)

    steps = math.ceil(len(labels) / BATCH)
    epochs = math.ceil(settings.epochs * max(1.0, FEWEST_STEPS / (EPOCHS * steps)))
    total = epochs * steps
    every = max(1, epochs // CHECKS)
    best: tuple[float, list[Layer], NDArray[np.float32], int] | None = None
    stale, peak = 0, -math.inf
    with threadpool_limits(1, "blas"):  # sums over several threads depend on their number
        for epoch in range(epochs):
            dropout.renew()
            order = rng.permutation(len(labels))
            for index in range(steps):
                rows = order[index * BATCH : (index + 1) * BATCH]
                batch = _mixed(*_drawn(features, targets, weights, rows, rng), settings.mixup, rng)
                rate = warmup_cosine(
                    epoch * steps + index, total, settings.learning_rate, min(total - 1, round(WARMUP_SHARE * total))
                )
                optimizer.step(layers, gradients(layers, *batch, settings.loss, dropout), rate)
            if (epoch + 1) % every and epoch + 1 < epochs:
                continue
            logits = logits_of(layers, held_out)
            answers = softmax(logits)
            reached = score(validation[1], answers)
            if best is None or reached >= peak - standard_error(validation[1], answers):
                best = (reached, [(k.copy(), b.copy()) for k, b in layers], logits, epoch + 1)
            stale = 0 if reached > peak or 2 * epoch < epochs else stale + 1  # the rate is high until then
            peak = max(peak, reached)
            if stale == PATIENCE_CHECKS:
                break
    if best is None:
        raise ValueError("settings.epochs is at least 1")
    names = ["hidden", "logits"][-len(layers) :]
    kept = dict(zip(names, _on_raw_features(best[1], mean, deviation), strict=True))
    return FittedHead({name: list(layer) for name, layer in kept.items()}, best[2], best[0], epoch + 1)


def merge_heads(heads: list[FittedHead]) -> FittedHead:
    """One head that gives the mean of the logits of several.

    Args:
        heads: on the same features, all linear or all with a hidden layer.
    Returns:
        Linear heads: the mean of their kernels. Heads with hidden layers: all their units side by side, the output
        kernels divided by the number of heads. Its score is NaN.
    Raises:
        ValueError: linear heads and others are mixed.
    """
    if len({"hidden" in head.weights for head in heads}) > 1:
        raise ValueError("linear heads and heads with a hidden layer cannot be merged exactly")
    kernels, biases = zip(*(head.weights["logits"] for head in heads), strict=True)
    weights: Weights = {}
    if "hidden" in heads[0].weights:
        inner, inner_biases = zip(*(head.weights["hidden"] for head in heads), strict=True)
        weights["hidden"] = [np.concatenate(inner, axis=1), np.concatenate(inner_biases)]
        kernel = np.asarray(np.concatenate(kernels) / len(heads), np.float32)
    else:
        kernel = np.asarray(np.mean(kernels, axis=0), np.float32)
    weights["logits"] = [kernel, np.asarray(np.mean(biases, axis=0), np.float32)]
    logits = np.mean([head.logits for head in heads], axis=0)
    return FittedHead(weights, logits, float("nan"), max(head.epochs for head in heads))


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities float32 [n, classes] of logits."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def class_weights(labels: NDArray[np.int64], classes: int, balanced: bool) -> NDArray[np.float32]:
    """Weight of each class, float32 [classes], with mean one over the images."""
    if not balanced:
        return np.ones(classes, np.float32)
    counts = np.bincount(labels, minlength=classes)
    return np.asarray(len(labels) / (classes * np.maximum(counts, 1)), np.float32)


def _moments(views: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of every feature over images and views; a feature that hardly varies is not blown up."""
    mean = np.mean([view.mean(axis=0) for view in views], axis=0)
    squares = np.mean([np.square(view - mean).mean(axis=0) for view in views], axis=0)
    deviation = np.sqrt(squares)
    return mean, np.maximum(deviation, max(SMALLEST_DEVIATION * float(np.median(deviation)), 1e-6))


def _smoothed(labels: NDArray[np.int64], classes: int, smoothing: float) -> NDArray[np.float32]:
    onehot = np.eye(classes, dtype=np.float32)[labels]
    return onehot * np.float32(1 - smoothing) + np.float32(smoothing / classes)


def _drawn(
    features: list[NDArray[np.float32]],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """One view of each of some images, with targets and weights."""
    batch = features[0][rows]
    if len(features) > 1:
        chosen = rng.integers(0, len(features), len(rows))
        for view in range(1, len(features)):
            at = chosen == view
            batch[at] = features[view][rows[at]]
    return batch, targets[rows], weights[rows]


def _mixed(
    batch: NDArray[np.float32],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    alpha: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mixup (Zhang et al. 2018) of features: every image with another of its batch, one share a batch."""
    if not alpha:
        return batch, targets, weights
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(batch))
    return (
        share * batch + (1 - share) * batch[other],
        share * targets + (1 - share) * targets[other],
        share * weights + (1 - share) * weights[other],
    )


def _on_raw_features(layers: list[Layer], mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> list[Layer]:
    """The same layers for features that are not standardized."""
    kernel, bias = layers[0]
    raw = kernel / deviation[:, None]
    return [(raw, np.asarray(bias - mean @ raw, np.float32)), *layers[1:]]
