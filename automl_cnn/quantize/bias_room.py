"""Room for biases: channels whose kernel is too small beside its bias, such as 1e-9 beside −7, get a larger weight.

TFLite keeps a bias as int32 in steps of (input scale × kernel scale). Where either is tiny such a bias is far beyond
int32, comes out as something else, and a channel that is all but constant feeds a wrong value to every layer above.
ImageNet's EfficientNet-Lite0 has such kernels in the stem already; in MobileNetV3 inputs of excitations hardly move.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.models.weights import Weights
from automl_cnn.quantize.calibrate import Ranges
from automl_cnn.quantize.channel_groups import WEIGHTED, sources_of

LARGEST_BIAS = 2**30  # half of what int32 holds: training may move a bias too
FINEST_STEP = 1 / 128  # of the normalized image: what is assumed where no range is known
INT8_STEPS, KERNEL_STEPS = 255, 127


def widen_bias_room(weights: Weights) -> Weights:
    """Give every channel a weight large enough for its bias to fit into int32 behind an input of FINEST_STEP.

    Args:
        weights: folded, by layer name; convolutions hold [kernel, bias].
    Returns:
        The same weights but for those channels.
    """
    return {
        name: _widened(arrays, FINEST_STEP, depthwise="_depthwise_" in name) if name.endswith("_conv") else arrays
        for name, arrays in weights.items()
    }


def make_room_for_biases(twin: Any, ranges: Ranges) -> None:
    """The same in place, behind the inputs that calibration images gave.

    Args:
        twin: the folded tf_keras network.
        ranges: of its layers' outputs, from `calibrate.observe_ranges`.
    """
    for layer in twin.layers:
        if type(layer).__name__ in WEIGHTED and (source := sources_of(layer)[0]) in ranges:
            low, high = ranges[source]
            depthwise = type(layer).__name__ == "DepthwiseConv2D"
            before = layer.get_weights()
            after = _widened(before, (max(high, 0.0) - min(low, 0.0)) / INT8_STEPS, depthwise=depthwise)
            if not np.array_equal(before[0], after[0]):
                layer.set_weights(after)


def _widened(arrays: list[NDArray[np.float32]], step: float, *, depthwise: bool) -> list[NDArray[np.float32]]:
    """The largest weight of a channel below the floor is raised to it.

    The output moves by at most 255 × 127 / 2^30 of the bias, a thirty-thousandth, whatever the step: one input of 255
    steps at most, times the floor.
    """
    kernel, bias = arrays
    axis = -2 if depthwise else -1  # [h, w, channels, 1] there, [h, w, in, channels] or [in, channels] elsewhere
    flat = np.moveaxis(kernel, axis, -1)
    shape, flat = flat.shape, flat.reshape(-1, flat.shape[-1]).copy()
    floor = np.abs(bias) * KERNEL_STEPS / (step * LARGEST_BIAS)
    largest, channels = np.abs(flat).argmax(axis=0), np.arange(flat.shape[1])
    weight = flat[largest, channels]
    flat[largest, channels] = np.where(np.abs(weight) < floor, np.copysign(floor, weight), weight)
    return [np.ascontiguousarray(np.moveaxis(flat.reshape(shape), -1, axis)), bias]
