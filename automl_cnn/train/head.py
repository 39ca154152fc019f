"""Fit a classification head on frozen features: a second or two where fine-tuning takes minutes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, extract_weights

BATCH = 128
PATIENCE_CHECKS = 3

Score = Callable[[NDArray[np.int64], NDArray[np.float32]], float]
"""(labels [n], probabilities [n, classes]) → what is maximized."""


@dataclass(frozen=True)
class HeadSettings:
    """How a head is trained.

    Attributes:
        learning_rate: peak rate of AdamW; falls to zero along a cosine.
        weight_decay: decoupled decay of the kernels.
        label_smoothing: share of the target spread over all classes, 0 to below 1.
        balanced: weigh classes by the inverse of their frequency.
        epochs: times that an image is seen at most, in whichever view.
        seed: of initial weights, order and dropout.
    """

    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0
    balanced: bool = False
    epochs: int = 24
    seed: int = 1


@dataclass(frozen=True)
class FittedHead:
    """A trained head.

    Attributes:
        weights: of the layers `hidden` (if there is one) and `logits`, as `build_classifier` names them.
        probabilities: float32 [n_validation, classes].
        score: on validation, at the epoch that was kept.
        epochs: times that every image was seen.
    """

    weights: Weights
    probabilities: NDArray[np.float32]
    score: float
    epochs: int


def fit_head(
    spec: ClassifierSpec,
    settings: HeadSettings,
    views: list[NDArray[Any]],
    labels: NDArray[np.int64],
    validation: tuple[NDArray[Any], NDArray[np.int64]],
    score: Score,
) -> FittedHead:
    """Train a head on frozen features and keep its best epoch on validation.

    Args:
        spec: hidden units, dropout and number of classes; the backbone itself is not built.
        settings: how to train.
        views: features [n, d] of the training images, one array a view.
        labels: int64 [n].
        validation: features [m, d] and labels int64 [m].
        score: what is maximized on validation.
    Returns:
        The head at its best epoch.
    """
    import keras

    keras.utils.set_random_seed(settings.seed)
    features = np.concatenate([np.asarray(view, np.float32) for view in views])
    targets = np.tile(_smoothed(labels, spec.classes, settings.label_smoothing), (len(views), 1))
    weights = np.tile(class_weights(labels, spec.classes, settings.balanced)[labels], len(views))
    held_out, held_out_labels = np.asarray(validation[0], np.float32), validation[1]

    model = _head(keras, spec, features.shape[1])
    steps = math.ceil(len(features) / BATCH)
    passes = max(1, round(settings.epochs / len(views)))
    schedule = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps * passes)
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        steps_per_execution=steps,
        jit_compile=False,
    )
    best: tuple[float, Weights, NDArray[np.float32]] | None = None
    stale = done = 0
    every = max(1, passes // 8)
    while done < passes and stale < PATIENCE_CHECKS:
        model.fit(features, targets, BATCH, every, sample_weight=weights, verbose=0)
        done += every
        probabilities = softmax(_apply(model, held_out))
        reached = score(held_out_labels, probabilities)
        if best is None or reached > best[0]:
            best, stale = (reached, extract_weights(model), probabilities), 0
        else:
            stale += 1
    if best is None:
        raise ValueError("settings.epochs is at least 1")
    return FittedHead(best[1], best[2], best[0], done * len(views))


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


def _head(keras: Any, spec: ClassifierSpec, width: int) -> Any:
    """The part of `build_classifier` above `pooled`, ending in logits; same layer names."""
    inputs = keras.Input((width,), name="pooled")
    x = keras.layers.Dropout(spec.dropout, name="dropout")(inputs)
    if spec.hidden_units:
        x = keras.layers.Dense(spec.hidden_units, name="hidden")(x)
        x = keras.layers.ReLU(max_value=6.0, name="hidden_relu")(x)
        x = keras.layers.Dropout(spec.dropout, name="hidden_dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(spec.classes, name="logits")(x))


def _apply(model: Any, features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate(
        [np.asarray(model(features[start : start + 4096], training=False)) for start in range(0, len(features), 4096)]
    )


def _smoothed(labels: NDArray[np.int64], classes: int, smoothing: float) -> NDArray[np.float32]:
    onehot = np.eye(classes, dtype=np.float32)[labels]
    return onehot * (1 - smoothing) + smoothing / classes
