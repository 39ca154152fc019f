"""Where the activations' ranges come from: images, before the first training step.

The library starts every range at ±6 and lets it drift with a moving average of 0.999; a few hundred steps never get rid
of that start. Here each range is what calibration images really gave, and it stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import QuantizeError
from automl_cnn.progress import Progress, silent

BATCH = 32
INPUT_RANGE = (0.0, 255.0)
NORMALIZE = "normalize"
Ranges = dict[str, tuple[float, float]]
"""Layer name → lowest and highest value of its output; zero lies within, as TFLite demands."""


def choose_calibration(
    labels: NDArray[np.int64], class_names: Sequence[str], count: int, seed: int
) -> NDArray[np.int64]:
    """Draw calibration images so that every class is there, in proportion to its size.

    Args:
        labels: int64 [n], class of each image.
        class_names: all classes.
        count: images wanted; all are taken where there are fewer, and one of each class where there are more classes.
        seed: the same seed draws the same images.
    Returns:
        int64 rows in random order: a prefix of them is a fair sample too.
    Raises:
        QuantizeError: a class has no image; names the classes.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    of_class = [shuffled[labels[shuffled] == index] for index in range(len(class_names))]
    if missing := [name for name, rows in zip(class_names, of_class, strict=True) if not len(rows)]:
        raise QuantizeError(
            "calibration images", expected="at least one image of every class",
            received=f"none of {', '.join(missing)}",
            action="Add images of it to the training data, or merge the class into another.",
        )  # fmt: skip
    firsts = np.array([rows[0] for rows in of_class])
    others = np.setdiff1d(shuffled, firsts)
    # of a class's images those are taken whose quantile within the class comes first: proportional without rounding
    quantile = np.zeros(len(labels))
    for rows in of_class:
        quantile[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    ordered = others[np.argsort(quantile[others], kind="stable")]
    return rng.permutation(np.concatenate([firsts, ordered[: max(0, count - len(firsts))]])).astype(np.int64)


def observe_ranges(twin: Any, images: NDArray[np.uint8], progress: Progress = silent) -> Ranges:
    """Run the float network over calibration images and note how far each layer's output reaches.

    Args:
        twin: the folded tf_keras network.
        images: uint8 RGB [n, H, W, 3].
        progress: told about every batch.
    Returns:
        The range of every layer's output but the input's, which is 0…255 by definition.
    Raises:
        QuantizeError: an output is not a finite number; names the layer.
    """
    import tensorflow as tf
    import tf_keras

    layers = [layer for layer in twin.layers if not isinstance(layer, tf_keras.layers.InputLayer)]
    outputs = tf_keras.Model(twin.inputs, [layer.output for layer in layers])

    @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
    def extremes(batch: Any) -> Any:
        values = outputs(tf.cast(batch, tf.float32), training=False)
        return tf.stack([[tf.reduce_min(value), tf.reduce_max(value)] for value in values])

    seen = np.zeros((len(layers), 2))
    for start in range(0, len(images), BATCH):
        found = extremes(images[start : start + BATCH]).numpy()
        if not np.isfinite(found).all():
            broken = layers[int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])].name
            raise QuantizeError(
                f"layer {broken}", expected="finite numbers", received="NaN or infinity on a calibration image",
                action="The trained weights are broken: run `dvc repro --force train`.",
            )  # fmt: skip
        seen[:, 0] = np.minimum(seen[:, 0], found[:, 0])
        seen[:, 1] = np.maximum(seen[:, 1], found[:, 1])
        progress("calibrating", min(start + BATCH, len(images)), len(images))
    ranges = {layer.name: _widened(low, high) for layer, (low, high) in zip(layers, seen, strict=True)}
    return {**ranges, NORMALIZE: normalized_range(twin)}


def normalized_range(twin: Any) -> tuple[float, float]:
    """What `normalize` makes of 0 and 255.

    With this range its step is one grey level exactly and nothing is rounded. With the range of the images at hand the
    step is a little finer than a grey level, and the folded stem amplifies the rounding by up to 20 steps.
    """
    kernel, bias = twin.get_layer(NORMALIZE).get_weights()
    ends = np.stack([INPUT_RANGE[0] * kernel.ravel() + bias, INPUT_RANGE[1] * kernel.ravel() + bias])
    return float(ends.min()), float(ends.max())


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range of positive width, also for a layer that is dead on every calibration image."""
    return (float(low), float(high)) if high - low > 1e-6 else (float(low), float(low) + 1e-3)
