"""Channels that are constant by training: a kernel of about 1e-9 beside a bias of −7.

TFLite keeps a bias as int32 in steps of (input scale × kernel scale). With a kernel scale of 1e-11 such a bias is far
beyond int32, comes out as something else, and a channel that ought to be constant feeds a wrong value to every layer
above. ImageNet's EfficientNet-Lite0 has such channels in the stem already.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_cnn.models.weights import Weights

# A bias fits when |bias| ≤ 2^31 × input scale × kernel maximum / 127. 1/128 is the step of the normalized image, the
# finest there is; 2^30 leaves a factor of two for what training may do to the bias.
FLOOR_PER_BIAS = 127 * 128 / 2**30


def widen_dead_channels(weights: Weights) -> Weights:
    """Give every channel a kernel large enough for its bias to fit into int32.

    A channel below the floor gets a kernel of zeros with the floor as its first weight, which for a bias of −7 is 1e-4:
    its output moves by at most 6e-4, a fortieth of the int8 step of a ReLU6.

    Args:
        weights: folded, by layer name; convolutions hold [kernel, bias].
    Returns:
        The same weights but for those channels.
    """
    return {name: _widened(name, arrays) if name.endswith("_conv") else arrays for name, arrays in weights.items()}


def _widened(name: str, arrays: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    kernel, bias = arrays
    axis = -2 if "_depthwise_" in name else -1  # [h, w, channels, 1] there, [h, w, in, channels] elsewhere
    channels_last = np.moveaxis(kernel, axis, -1).copy()  # [h, w, in or 1, channels]
    floor = np.abs(bias) * FLOOR_PER_BIAS
    dead = np.abs(channels_last).max(axis=(0, 1, 2)) < floor
    channels_last[..., dead] = 0
    channels_last[0, 0, 0, dead] = floor[dead]
    return [np.ascontiguousarray(np.moveaxis(channels_last, -1, axis)), bias]
