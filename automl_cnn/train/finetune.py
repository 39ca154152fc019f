"""Fine-tune a candidate: its head is fitted on frozen features already, now the top blocks learn at lower rates."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import TrainingError
from automl_cnn.features.engine import gpu_present
from automl_cnn.models.classifier import build_classifier, levels
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, assign_weights, extract_weights
from automl_cnn.progress import Progress, silent
from automl_cnn.train.batches import TrainingImages
from automl_cnn.train.checkpoint import Checkpoint, TrainingState
from automl_cnn.train.distill import Teacher, loss_function
from automl_cnn.train.head import Score, class_weights, softmax
from automl_cnn.train.optimizer import WeightAverage, layerwise_optimizer
from automl_cnn.train.prefix import PrefixBatches, cut_below
from automl_cnn.train.schedule import warmup_cosine

WARMUP_SHARE = 0.1
SMALLEST_BATCH = 2
PROBED_STEPS = 4
LATELY_EPOCHS = 3  # by whose seconds it is told whether there is time for another


@dataclass(frozen=True)
class FineTuning:
    """How to fine-tune.

    Attributes:
        epochs: passes at most; 0 keeps the fitted head as it is.
        unfreeze_from_block: levels from this one (1 to 8) upwards learn.
        learning_rate: peak rate of the head.
        weight_decay: decoupled decay of the kernels.
        label_smoothing: 0 to below 1.
        balanced: weigh classes by the inverse of their frequency.
        patience: epochs without a better validation score before training stops, counted only once the rate has fallen
            below half of its peak: before that the score says little about where the training ends.
        seed: of dropout and of random weights.
        layer_decay: the rate of level b is the head's times this to the power of 9 − b; one rate for all from scratch.
        optimizer: adamw, or sgd with Nesterov's momentum, which needs about ten times the rate.
        momentum: of sgd.
        ema: share of the running average of the weights that a step keeps; the average is what is judged and kept. 0
            for no average.
        accumulate: batches whose gradients make one step, where memory is small.
        distillation_weight: share of the loss that comes from the teacher, 0 to 1.
        temperature: that softens teacher and student.
        from_scratch: no pretrained weights: everything learns, BatchNormalization included. Otherwise
            BatchNormalization stays as pretrained, in inference mode.
    """

    epochs: int
    unfreeze_from_block: int
    learning_rate: float
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0
    balanced: bool = False
    patience: int = 4
    seed: int = 1
    layer_decay: float = 0.8
    optimizer: str = "adamw"
    momentum: float = 0.9
    ema: float = 0.98
    accumulate: int = 1
    distillation_weight: float = 0.0
    temperature: float = 2.0
    from_scratch: bool = False


@dataclass(frozen=True)
class FineTuned:
    """What is kept of a fine-tuning.

    Attributes:
        weights: of every layer of `build_classifier`.
        logits: float32 [n_validation, classes].
        score: on validation.
        best_epoch: the one that is kept: the last that validation cannot tell from the best; 0 where there were none.
        epochs: over which the rate fell: those of the plan, or fewer where time ran short.
        history: one entry an epoch: epoch, loss, learning_rate, validation_score, validation_accuracy, seconds.
    """

    weights: Weights
    logits: NDArray[np.float32]
    score: float
    best_epoch: int
    epochs: int = 0
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
    teacher: Teacher | None = None,
    until_s: float = math.inf,
    standard_error: Score = lambda labels, probabilities: 0.0,
) -> FineTuned:
    """Train the top blocks and the head, keep the last epoch that validation cannot tell from the best.

    Where memory runs out, training goes on with half the batch and twice the batches a step. Where the machine becomes
    slower than was planned with, there are fewer epochs, and the rate falls the faster for it.

    Args:
        spec: the network.
        start: pretrained weights of the backbone and those of the fitted head; a network from scratch may have none.
        plan: how to train.
        training: augmented images.
        validation: images as they are.
        score: what is maximized on validation.
        checkpoint: where every finished epoch is kept; training goes on from the last one it holds.
        progress: told of every batch.
        teacher: asked about every view where plan.distillation_weight is above 0.
        until_s: `time.perf_counter()` before which to end; one epoch is always trained.
        standard_error: how much of the score is chance.
    Returns:
        That epoch; 0, the fitted head on the untouched backbone, only where plan.epochs is 0.
    Raises:
        TrainingError: the loss is no longer a number, or not even two images fit into memory.
    """
    import tensorflow as tf

    while True:
        try:
            with _precision():
                work = _Training(spec, start, plan, training, validation, progress, teacher)
                return work.run(score, standard_error, checkpoint, until_s)
        except (MemoryError, tf.errors.ResourceExhaustedError):
            batch_size = training.batch_size
            if batch_size <= SMALLEST_BATCH:
                raise TrainingError(
                    f"fine-tuning of {spec.backbone}", expected="memory for a step of training",
                    received=f"none for {batch_size} images of {spec.input_size_px} px",
                    action="Name a smaller backbone or input size, or raise train.unfreeze_from_block.",
                ) from None  # fmt: skip
        training = replace(training, batch_size=math.ceil(batch_size / 2))
        plan = replace(plan, accumulate=2 * plan.accumulate)
        progress("fine-tuning", 0, 1, f"out of memory: going on with batches of {training.batch_size}")


@dataclass(frozen=True)
class TuningSeconds:
    """What a fine-tuning takes here.

    Attributes:
        once_s: before the first epoch: building, and the frozen blocks where their output is kept.
        epoch_s: every epoch, validation aside.
    """

    once_s: float
    epoch_s: float


def probe_seconds(spec: ClassifierSpec, start: Weights, plan: FineTuning, training: TrainingImages) -> TuningSeconds:
    """Measure a few steps and say what the whole would take.

    Args:
        spec, start, plan, training: as for `fine_tune`.
    """
    few = replace(training, rows=training.rows[: PROBED_STEPS * training.batch_size])
    few = replace(few, labels=training.labels[: len(few.rows)])
    share = len(training.rows) / len(few.rows)
    times = [time.perf_counter()]
    with _precision():
        probed = _Training(spec, start, plan, few, few, silent, None)
        times.append(time.perf_counter())
        batches = probed.batches("training", few)
        times.append(time.perf_counter())
        for epoch in range(2):  # the first traces the graph
            probed.run_epoch(epoch, max(plan.epochs, 1), batches)
            times.append(time.perf_counter())
    built, views, traced, steps = np.diff(times)
    once_s = built + max(0.0, traced - steps) + (views * share if batches.keeps_views else views)
    return TuningSeconds(float(once_s), float(steps * share))


class _Training:
    """A network with everything that moves its weights."""

    def __init__(
        self,
        spec: ClassifierSpec,
        start: Weights,
        plan: FineTuning,
        training: TrainingImages,
        validation: TrainingImages,
        progress: Progress,
        teacher: Teacher | None,
    ) -> None:
        import keras

        self._plan, self._spec, self._progress = plan, spec, progress
        self._images, self._held_out = training, validation
        self._teacher = teacher if plan.distillation_weight else None
        keras.utils.set_random_seed(plan.seed)
        self._model = build_classifier(keras, spec)
        assign_weights(self._model, start)
        level = levels(self._model)
        for layer in self._model.layers:
            normalizes = isinstance(layer, keras.layers.BatchNormalization)
            high = level[layer.name] >= plan.unfreeze_from_block and not normalizes
            layer.trainable = (plan.from_scratch or high) and layer.name != "normalize"
        self._cut = cut_below(self._model, 0 if plan.from_scratch else plan.unfreeze_from_block)
        self._network = self._cut.top
        weight = plan.distillation_weight if self._teacher else 0.0
        self._network.compile(
            layerwise_optimizer(
                keras,
                plan.optimizer,
                level,
                1.0 if plan.from_scratch else plan.layer_decay,
                plan.weight_decay,
                plan.momentum,
                plan.accumulate,
            ),
            loss_function(keras, plan.label_smoothing, weight, plan.temperature),
            jit_compile=False,
        )
        self._network.optimizer.build(self._network.trainable_variables)
        # the moving statistics of BatchNormalization belong to the weights that are averaged
        learned = self._network.weights if plan.from_scratch else self._network.trainable_variables
        self._average = WeightAverage(list(learned), plan.ema)
        self._class_weights = class_weights(training.labels, spec.classes, plan.balanced)

    def run(self, score: Score, standard_error: Score, checkpoint: Checkpoint, until_s: float) -> FineTuned:
        """Train to the end, until the score no longer rises, or as long as there is time."""
        plan = self._plan
        held_out = self.batches("validation", self._held_out)
        training = self.batches("training", self._images) if plan.epochs else None
        variables = [*self._network.variables, *self._network.optimizer.variables, *self._average.state]
        state, epochs = checkpoint.load(variables), plan.epochs
        if state is None:
            state = self._measured(TrainingState(), held_out, score, standard_error, {"epoch": 0, "loss": float("nan")})
        while training and state.epoch < (epochs := _epochs_in_time(plan.epochs, state, until_s)):
            if self._stale(state, epochs):
                break
            started = time.perf_counter()
            loss = self.run_epoch(state.epoch, epochs, training)
            rate = float(self._network.optimizer.learning_rate)
            entry = {"epoch": state.epoch + 1, "loss": loss, "learning_rate": rate}
            state = self._measured(state, held_out, score, standard_error, entry, started)
            checkpoint.save(variables, state)
        best: Weights = {**extract_weights(self._model), **state.best_weights}
        checkpoint.remove()
        return FineTuned(best, state.best_logits, state.best_score, state.best_epoch, epochs, state.history)

    def batches(self, name: str, images: TrainingImages) -> PrefixBatches:
        """Batches for the part that learns; images as large as the larger of student and teacher takes them."""
        own, teacher = self._spec.input_size_px, self._teacher if name == "training" else None
        served = replace(images, input_size_px=max(own, teacher.input_size_px if teacher else own))
        return PrefixBatches(self._cut.prefix, served, own, name, self._progress, teacher)

    def run_epoch(self, epoch: int, epochs: int, training: PrefixBatches) -> float:
        """Every image once, as one of so many epochs; the mean loss."""
        plan, network = self._plan, self._network
        total = epochs * training.steps
        warmup = min(total - 1, max(1, round(WARMUP_SHARE * total)))
        onehot = np.eye(self._spec.classes, dtype=np.float32)
        losses = []
        for index, batch in enumerate(training.epoch(epoch)):
            step = epoch * training.steps + index
            network.optimizer.learning_rate = warmup_cosine(min(step, total), total, plan.learning_rate, warmup)
            targets = onehot[batch.labels]
            if batch.advice is not None:
                targets = np.concatenate([targets, batch.advice], axis=1)
            weights = self._class_weights[batch.labels]
            losses.append(float(network.train_on_batch(batch.inputs, targets, sample_weight=weights)))
            network.reset_metrics()  # the loss that is returned is otherwise the mean since the start
            self._average.update()
            self._progress("fine-tuning", step + 1, total, f"epoch {epoch + 1} of {epochs}, loss {losses[-1]:.3f}")
            if not math.isfinite(losses[-1]):
                raise TrainingError(
                    f"fine-tuning of {self._spec.backbone}", expected="a finite loss",
                    received=f"{losses[-1]} in epoch {epoch + 1}, at a learning rate of {plan.learning_rate:g}",
                    action="Lower train.learning_rate.",
                )  # fmt: skip
        return float(np.mean(losses))

    def _stale(self, state: TrainingState, epochs: int) -> bool:
        falling = epochs * (1 + WARMUP_SHARE) / 2  # from here on the rate is below half of its peak
        scores = [entry["validation_score"] for entry in state.history]
        highest = max(range(len(scores)), key=scores.__getitem__)
        return state.epoch - max(highest, falling) >= self._plan.patience

    def _measured(
        self,
        state: TrainingState,
        validation: PrefixBatches,
        score: Score,
        standard_error: Score,
        entry: dict[str, float],
        started: float | None = None,
    ) -> TrainingState:
        """Score the averaged weights on validation and remember them unless they are shown to be worse."""
        with self._average.in_place():
            logits = predict_logits(self._network, validation)
            answers = softmax(logits)
            reached = score(validation.labels, answers)
            accuracy = float(np.mean(logits.argmax(axis=1) == validation.labels))
            before = [past["validation_score"] for past in state.history[1:]]  # the head is a trial of its own
            peak = max((past for past in before if math.isfinite(past)), default=-math.inf)
            better = not before or reached >= peak - standard_error(validation.labels, answers)
            weights = extract_weights(self._network) if better else state.best_weights
        seconds = time.perf_counter() - started if started else 0.0
        measured = {**entry, "validation_score": reached, "validation_accuracy": accuracy, "seconds": round(seconds, 2)}
        epoch, history = int(entry["epoch"]), [*state.history, measured]
        if better:
            return TrainingState(epoch, history, epoch, reached, weights, logits)
        return replace(state, epoch=epoch, history=history)


def _epochs_in_time(epochs: int, state: TrainingState, until_s: float) -> int:
    """As many of `epochs`, those done included, as end before `until_s` if they take as long as the last few."""
    if state.epoch == 0 or until_s == math.inf:
        return epochs
    lately = [entry["seconds"] for entry in state.history[1:]][-LATELY_EPOCHS:]
    more = (until_s - time.perf_counter()) / max(float(np.median(lately)), 1e-3)
    return min(epochs, state.epoch + max(0, math.floor(more)))


def predict_logits(network: Any, images: PrefixBatches) -> NDArray[np.float32]:
    """Logits float32 [n, classes] of the top for all images, in order."""
    return np.concatenate(
        [np.asarray(network.predict_on_batch(batch.inputs), np.float32) for batch in images.epoch(0, shuffle=False)]
    )


@contextmanager
def _precision() -> Iterator[None]:
    """Mixed precision where there is a GPU: half the memory and up to three times the speed; a CPU has neither."""
    import keras

    before = keras.config.dtype_policy()
    if gpu_present():
        keras.config.set_dtype_policy("mixed_float16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
