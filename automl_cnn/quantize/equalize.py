"""Cross-layer equalization: channels that hardly rise are scaled up, so that int8 gives them steps of their own.

An int8 tensor has one scale for all its channels. Where one channel reaches 6 and another never passes 0.1, the second
is left with four of 256 steps. Between the layers that make a channel and those that take it (`channel_groups`) it may
be scaled by any positive factor.

Source: Nagel et al. 2019, who balance the ranges of kernels; here kernels have a scale a channel already, so what is
balanced is the activations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.progress import Progress, silent
from automl_cnn.quantize.calibrate import BATCH
from automl_cnn.quantize.channel_groups import Group, find_groups

HEADROOM = 1.25  # an image may exceed what calibration images showed by this much before a ceiling cuts it
LARGEST_FACTOR = 16.0
Peaks = dict[str, NDArray[np.float32]]
"""Layer name → float32 [channels], largest magnitude of each on the calibration images."""


def equalize(twin: Any, images: NDArray[np.uint8], progress: Progress = silent) -> int:
    """Scale channels in place; the network's answers stay the same where no ceiling is met.

    Args:
        twin: the folded tf_keras network.
        images: uint8 RGB [n, H, W, 3] that show how far each channel rises.
        progress: told about every batch.
    Returns:
        How many channels were scaled.
    """
    groups = find_groups(twin)
    peaks = _peaks(twin, [name for group in groups for name in group.rounded], images, progress)
    scaled = 0
    for group in groups:
        factors = channel_factors(*_reach(twin, group, peaks))
        for name in group.makers:
            _multiply(twin.get_layer(name), factors)
        for name in group.takers:
            _divide(twin.get_layer(name), factors)
        scaled += int(np.sum(factors > 1))
    return scaled


def channel_factors(highest: NDArray[np.float32], ceiling: float = np.inf) -> NDArray[np.float32]:
    """By what each channel is multiplied.

    Args:
        highest: float32 [channels], largest magnitude of each on the calibration images, 0 or more.
        ceiling: above which a ReLU cuts.
    Returns:
        float32 [channels], 1 to LARGEST_FACTOR: no channel rises above the highest of all, and dead ones stay.
    """
    top = min(float(highest.max(initial=0.0)), ceiling)
    reach = np.maximum(HEADROOM * highest, top / LARGEST_FACTOR)
    factors = np.divide(top, reach, out=np.ones_like(reach), where=highest > 0)
    return np.asarray(np.clip(factors, 1.0, LARGEST_FACTOR), np.float32)


def _reach(twin: Any, group: Group, peaks: Peaks) -> tuple[NDArray[np.float32], float]:
    """How high each channel of a group comes in any of its tensors, and the lowest ceiling among them."""
    ceilings = [getattr(twin.get_layer(name), "max_value", None) for name in group.rounded]
    highest = np.max([peaks[name] for name in group.rounded], axis=0)
    return highest, min((float(ceiling) for ceiling in ceilings if ceiling is not None), default=np.inf)


def _peaks(twin: Any, names: list[str], images: NDArray[np.uint8], progress: Progress) -> Peaks:
    import tensorflow as tf
    import tf_keras

    if not names:
        return {}
    outputs = tf_keras.Model(twin.inputs, {name: twin.get_layer(name).output for name in names})

    @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
    def highest(batch: Any) -> Any:
        values = outputs(tf.cast(batch, tf.float32), training=False)
        return {name: tf.reduce_max(tf.abs(each), axis=range(len(each.shape) - 1)) for name, each in values.items()}

    found: Peaks = {}
    for start in range(0, len(images), BATCH):
        given = {name: value.numpy() for name, value in highest(images[start : start + BATCH]).items()}
        found = {name: np.maximum(found.get(name, 0), value) for name, value in given.items()}
        progress("equalizing", min(start + BATCH, len(images)), len(images))
    return found


def _multiply(layer: Any, factors: NDArray[np.float32]) -> None:
    kernel, bias = layer.get_weights()
    # a depthwise kernel is [h, w, channels, 1], another one [h, w, in, out]
    scaled = kernel * (factors[:, None] if type(layer).__name__ == "DepthwiseConv2D" else factors)
    layer.set_weights([scaled, bias * factors])


def _divide(layer: Any, factors: NDArray[np.float32]) -> None:
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel / factors[:, None], bias])
