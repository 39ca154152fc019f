"""Quantization-aware training: the simulated int8 network learns to answer as the float network does.

Source: Jacob et al. 2018 for the simulation; Hinton et al. 2015 for soft targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import QuantizeError
from automl_cnn.models.classifier import levels_by_name
from automl_cnn.progress import Progress, silent
from automl_cnn.quantize.images import Images

WRAPPER_PREFIX = "quant_"

# Training blocks 1 to 3 too takes 1.6 times as long and gained nothing (solar cells, 160 px, two networks).
TRAINED_FROM_BLOCK = 4
TEACHER_SHARE = 0.7
CLIP_NORM = 1.0
FEW_STEPS = 60


@dataclass(frozen=True)
class QatSettings:
    """How long and how hard is trained.

    Attributes:
        steps: of the optimizer; 0 leaves the calibrated network as it is.
        batch_size: images a step.
        learning_rate: of the first step; a half cosine brings it to zero.
        seed: fixes which images are seen and in which order.
    """

    steps: int
    batch_size: int
    learning_rate: float
    seed: int


def draw_batches(images: int, settings: QatSettings) -> NDArray[np.int64]:
    """Which images each step sees: one permutation after another, so that none comes again before all came once.

    Args:
        images: how many there are, at least 1.
        settings: steps, batch_size and seed are used.
    Returns:
        int64 [steps, batch_size] rows.
    """
    rng = np.random.default_rng(settings.seed)
    wanted = settings.steps * settings.batch_size
    epochs = [rng.permutation(images) for _ in range(-(-wanted // images))]
    rows = np.concatenate(epochs)[:wanted] if epochs else np.empty(0)
    return rows.astype(np.int64).reshape(settings.steps, settings.batch_size)


def checkpoints(steps: int) -> set[int]:
    """After which steps a file is made: from the middle on, where the learning rate has begun to fall.

    After few steps the files hardly differ, and making and measuring each takes as long as ten of them.
    """
    return {-(-steps * quarter // 4) for quarter in ((2, 3, 4) if steps >= FEW_STEPS else (4,))}


def mix_targets(
    teacher: NDArray[np.float32], labels: NDArray[np.int64], share: float = TEACHER_SHARE
) -> NDArray[np.float32]:
    """What the student is asked for: the float network's probabilities mixed with the labels.

    Args:
        teacher: float32 [n, classes].
        labels: int64 [n].
        share: of the teacher, 0 to 1.
    Returns:
        float32 [n, classes], each row adds up to 1.
    """
    given = np.eye(teacher.shape[1], dtype=np.float32)[labels]
    return np.asarray(share * teacher + (1 - share) * given, dtype=np.float32)


def train_simulated(
    simulated: Any,
    images: Images,
    targets: NDArray[np.float32],
    batches: NDArray[np.int64],
    learning_rate: float,
    progress: Progress = silent,
) -> Iterator[int]:
    """Train in place, one step each time the next value is asked for.

    Activation ranges stay as calibrated, kernel ranges follow the kernels.

    Args:
        simulated: from `scheme.simulate_int8`.
        images: uint8 RGB [n, H, W, 3].
        targets: float32 [n, classes], from `mix_targets`.
        batches: from `draw_batches`.
        learning_rate: of the first step; a half cosine brings it to zero.
        progress: told about every step, with the loss.
    Yields:
        Number of steps done: 1 … len(batches).
    Raises:
        QuantizeError: the loss is not a finite number; names the step.
    """
    import tensorflow as tf
    import tf_keras

    if not len(batches):
        return
    student = tf_keras.Model(simulated.inputs, simulated.get_layer(f"{WRAPPER_PREFIX}logits").output)
    variables = trained_variables(simulated)
    schedule = tf_keras.optimizers.schedules.CosineDecay(learning_rate, len(batches))
    optimizer = tf_keras.optimizers.Adam(schedule, global_clipnorm=CLIP_NORM)
    optimizer.build(variables)  # made inside the step they would have it traced twice

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(batch: Any, wanted: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            # training=False: there is no dropout in the twin, and the quantizers do not tell the two apart
            logits = student(tf.cast(batch, tf.float32), training=False)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    for done, rows in enumerate(batches, start=1):
        loss = float(step(images[rows], targets[rows]))
        if not np.isfinite(loss):
            raise QuantizeError(
                "quantize.learning_rate", expected="a finite loss", received=f"{loss} at step {done}",
                action=f"Lower it in params.yaml; it is {learning_rate:g}.",
            )  # fmt: skip
        progress("quantization-aware training", done, len(batches), f"loss {loss:.3f}")
        yield done


def trained_variables(simulated: Any, from_block: int = TRAINED_FROM_BLOCK) -> list[Any]:
    """Kernels and biases of the blocks from `from_block` up, and of the head; the others are simulated all the same.

    They are picked here because a wrapped layer trains even where it is frozen; `normalize` never does.
    """
    level = levels_by_name(layer.name.removeprefix(WRAPPER_PREFIX) for layer in simulated.layers)
    return [
        variable
        for layer in simulated.layers
        if layer.name.startswith(WRAPPER_PREFIX)
        and level[layer.name.removeprefix(WRAPPER_PREFIX)] >= from_block
        and layer.layer.trainable
        for variable in layer.trainable_weights
    ]
