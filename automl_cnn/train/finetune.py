"""Fine-tune the winner: its head is fitted on frozen features already, now the top blocks learn at a lower rate."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.models.classifier import build_classifier, levels
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, assign_weights, extract_weights
from automl_cnn.progress import Progress, silent
from automl_cnn.train.batches import TrainingImages
from automl_cnn.train.checkpoint import Checkpoint, TrainingState
from automl_cnn.train.head import Score, class_weights, softmax
from automl_cnn.train.prefix import PrefixBatches, cut_below
from automl_cnn.train.schedule import warmup_cosine

WARMUP_SHARE = 0.1


@dataclass(frozen=True)
class FineTuning:
    """How to fine-tune.

    Attributes:
        epochs: passes at most; 0 keeps the fitted head as it is.
        unfreeze_from_block: blocks from this one (1 to 8) upwards learn; BatchNormalization stays as pretrained.
        learning_rate: peak rate.
        weight_decay: decoupled decay.
        label_smoothing: 0 to below 1.
        balanced: weigh classes by the inverse of their frequency.
        patience: epochs without a better validation score before training stops.
        seed: of dropout.
    """

    epochs: int
    unfreeze_from_block: int
    learning_rate: float
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0
    balanced: bool = False
    patience: int = 4
    seed: int = 1


@dataclass(frozen=True)
class FineTuned:
    """The best epoch of a fine-tuning.

    Attributes:
        weights: of every layer of `build_classifier`.
        logits: float32 [n_validation, classes].
        score: on validation.
        best_epoch: 0 when the fitted head alone was best.
        history: one entry an epoch: epoch, loss, learning_rate, validation_score, validation_accuracy, seconds.
    """

    weights: Weights
    logits: NDArray[np.float32]
    score: float
    best_epoch: int
    history: list[dict[str, float]] = field(default_factory=list)


def fine_tune(
    spec: ClassifierSpec,
    start: Weights,
    plan: FineTuning,
    training: TrainingImages,
    validation: TrainingImages,
    score: Score,
    checkpoint: Checkpoint,
    progress: Progress = silent,
) -> FineTuned:
    """Train the top blocks and the head, keep the epoch that is best on validation.

    Args:
        spec: the network.
        start: pretrained weights of the backbone and those of the fitted head.
        plan: how to train.
        training: augmented images.
        validation: images as they are.
        score: what is maximized on validation.
        checkpoint: where every finished epoch is kept; training goes on from the last one it holds.
        progress: told of every batch.
    Returns:
        The best epoch; epoch 0 is the fitted head on the untouched backbone.
    """
    import keras

    keras.utils.set_random_seed(plan.seed)
    model = build_classifier(keras, spec)
    assign_weights(model, start)
    _freeze(model, plan.unfreeze_from_block)
    cut = cut_below(model, plan.unfreeze_from_block)
    network = cut.top
    network.compile(
        keras.optimizers.AdamW(plan.learning_rate, weight_decay=plan.weight_decay),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=plan.label_smoothing),
        jit_compile=False,
    )
    network.optimizer.build(network.trainable_variables)

    held_out = PrefixBatches(cut.prefix, validation, "validation", progress)
    batches = PrefixBatches(cut.prefix, training, "training", progress) if plan.epochs else None
    state = checkpoint.load(network)
    if state is None:
        state = _measure(TrainingState(), network, held_out, score, {"epoch": 0, "loss": float("nan")})
    weights = class_weights(training.labels, spec.classes, plan.balanced)
    while batches and state.epoch < plan.epochs and state.epoch - state.best_epoch < plan.patience:
        started = time.perf_counter()
        loss = _run_epoch(network, batches, weights, plan, state.epoch, progress)
        entry = {"epoch": state.epoch + 1, "loss": loss, "learning_rate": float(network.optimizer.learning_rate)}
        state = _measure(state, network, held_out, score, entry, started)
        checkpoint.save(network, state)
    best: Weights = {**extract_weights(model), **state.best_weights}
    checkpoint.remove()
    return FineTuned(best, state.best_logits, state.best_score, state.best_epoch, state.history)


def predict_logits(network: Any, images: PrefixBatches) -> NDArray[np.float32]:
    """Logits float32 [n, classes] of the top for all images, in order."""
    return np.concatenate([np.asarray(network.predict_on_batch(batch)) for batch, _ in images.epoch(0, shuffle=False)])


def _freeze(model: Any, unfreeze_from_block: int) -> None:
    """Leave only the head and the high blocks trainable; frozen BatchNormalization also runs in inference mode."""
    level = levels(model)
    for layer in model.layers:
        high = level[layer.name] >= unfreeze_from_block
        layer.trainable = high and not layer.name.endswith("_bn")


def _run_epoch(
    network: Any,
    training: PrefixBatches,
    weights: NDArray[np.float32],
    plan: FineTuning,
    epoch: int,
    progress: Progress,
) -> float:
    total = plan.epochs * training.steps
    warmup = max(1, round(WARMUP_SHARE * total))
    onehot = np.eye(len(weights), dtype=np.float32)
    losses = []
    for index, (images, labels) in enumerate(training.epoch(epoch)):
        step = epoch * training.steps + index
        network.optimizer.learning_rate = warmup_cosine(step, total, plan.learning_rate, warmup)
        losses.append(float(network.train_on_batch(images, onehot[labels], sample_weight=weights[labels])))
        progress("fine-tuning", step + 1, total, f"epoch {epoch + 1} of {plan.epochs}, loss {losses[-1]:.3f}")
        network.reset_metrics()  # the loss that is returned is otherwise the mean since the start
    return float(np.mean(losses))


def _measure(
    state: TrainingState,
    network: Any,
    validation: PrefixBatches,
    score: Score,
    entry: dict[str, float],
    started: float | None = None,
) -> TrainingState:
    """Score the network on validation and remember it if it is the best so far."""
    logits = predict_logits(network, validation)
    reached = score(validation.labels, softmax(logits))
    accuracy = float(np.mean(logits.argmax(axis=1) == validation.labels))
    seconds = time.perf_counter() - started if started else 0.0
    measured = {**entry, "validation_score": reached, "validation_accuracy": accuracy, "seconds": round(seconds, 2)}
    history = [*state.history, measured]
    if state.history and reached <= state.best_score:
        return TrainingState(
            int(entry["epoch"]), history, state.best_epoch, state.best_score, state.best_weights, state.best_logits
        )
    return TrainingState(int(entry["epoch"]), history, int(entry["epoch"]), reached, extract_weights(network), logits)
