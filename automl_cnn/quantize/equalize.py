"""Cross-layer equalization: channels that hardly rise are scaled up, so that int8 gives them steps of their own.

An int8 tensor has one scale for all its channels. Where one channel reaches 6 and another never passes 0.1, the second
is left with four of 256 steps. Between a convolution and the next one a channel may be scaled by any positive factor
if the next convolution divides by it: ReLU lets the factor through, and ReLU6 does so below its ceiling.

Source: Nagel et al. 2019, who balance the ranges of kernels; here kernels have a scale a channel already, so what is
balanced is the activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.progress import Progress, silent
from automl_cnn.quantize.calibrate import BATCH, NORMALIZE

HEADROOM = 1.25  # an image may exceed what calibration images showed by this much before the ceiling cuts it
LARGEST_FACTOR = 16.0
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D")


@dataclass(frozen=True)
class Pair:
    """Two convolutions with nothing but a ReLU between them: the names of all three layers."""

    first: str
    relu: str
    second: str


def equalize(twin: Any, images: NDArray[np.uint8], progress: Progress = silent) -> int:
    """Scale channels in place; the network's answers stay the same where no ceiling is met.

    Args:
        twin: the folded tf_keras network.
        images: uint8 RGB [n, H, W, 3] that show how far each channel rises.
        progress: told about every batch.
    Returns:
        How many channels were scaled.
    """
    pairs = find_pairs(twin)
    scaled = 0
    for pair, highest in zip(pairs, _peaks(twin, [pair.relu for pair in pairs], images, progress), strict=True):
        factors = channel_factors(highest)
        _multiply(twin.get_layer(pair.first), factors)
        _divide(twin.get_layer(pair.second), factors)
        scaled += int(np.sum(factors > 1))
    return scaled


def find_pairs(twin: Any) -> list[Pair]:
    """Every pair of convolutions between which a channel may be scaled, bottom first."""
    pairs = []
    for layer in twin.layers:
        relu = _only_reader(layer) if _is_convolution(layer) and layer.name != NORMALIZE else None
        if relu is None or type(relu).__name__ != "ReLU":
            continue
        second = _only_reader(relu)
        if second is not None and _is_convolution(second):
            pairs.append(Pair(layer.name, relu.name, second.name))
    return pairs


def channel_factors(highest: NDArray[np.float32]) -> NDArray[np.float32]:
    """By what each channel is multiplied.

    Args:
        highest: float32 [channels], largest value of each on the calibration images, 0 or more.
    Returns:
        float32 [channels], 1 to LARGEST_FACTOR: no channel rises above the highest of all, and dead ones stay.
    """
    top = highest.max(initial=0.0)
    reach = np.maximum(HEADROOM * highest, top / LARGEST_FACTOR)
    factors = np.divide(top, reach, out=np.ones_like(reach), where=highest > 0)
    return np.asarray(np.clip(factors, 1.0, LARGEST_FACTOR), np.float32)


def _peaks(twin: Any, relus: list[str], images: NDArray[np.uint8], progress: Progress) -> list[NDArray[np.float32]]:
    import tensorflow as tf
    import tf_keras

    if not relus:
        return []
    outputs = tf_keras.Model(twin.inputs, [twin.get_layer(name).output for name in relus])

    @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
    def highest(batch: Any) -> Any:
        values = outputs(tf.cast(batch, tf.float32), training=False)
        return [tf.reduce_max(value, axis=[0, 1, 2]) for value in (values if len(relus) > 1 else [values])]

    found: list[NDArray[np.float32]] = []
    for start in range(0, len(images), BATCH):
        given = [value.numpy() for value in highest(images[start : start + BATCH])]
        found = [np.maximum(old, new) for old, new in zip(found or given, given, strict=True)]
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


def _only_reader(layer: Any) -> Any:
    """The one layer that takes a layer's output; None where there are several or none."""
    nodes = layer.outbound_nodes
    return nodes[0].outbound_layer if len(nodes) == 1 else None


def _is_convolution(layer: Any) -> bool:
    return type(layer).__name__ in CONVOLUTIONS
