"""Two small networks that start from random weights, for images that are nothing like photographs.

On spectrograms, sensor maps or drawings of a few dozen pixels the features of ImageNet can be worth
less than a small network's own. Both have plain layers only, so they quantize like the rest.
"""

from __future__ import annotations

from typing import Any

from automl_cnn.models.backbone import MINUS_ONE_TO_ONE, Backbone
from automl_cnn.models.layers import Layers


def lenet5(keras: Any, inputs: Any, *, folded: bool = False) -> Any:
    """LeNet-5 with ReLU and maximum pooling in place of sigmoid and averages, as a convolution over any image size.

    Its last two layers, dense in the paper, slide over the image as convolutions; on the paper's 32×32 pixels that is
    the paper's network. No BatchNormalization, so `folded` changes nothing.

    Args:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        inputs: symbolic float32 [batch, height, width, 3], values −1 to 1, sides of 32 or more.
        folded: has no effect.
    Returns:
        Symbolic float32 [batch, height / 4 − 7, width / 4 − 7, 84].
    Source: LeCun et al. 1998.
    """
    layers = keras.layers
    x = inputs
    for stage, (channels, kernel, pooled) in enumerate(((6, 5, True), (16, 5, True), (120, 5, False), (84, 1, False))):
        name = ("stem", "block1a", "block2a", "top")[stage]
        x = layers.Conv2D(channels, kernel, kernel_initializer="he_normal", name=f"{name}_conv")(x)
        x = layers.ReLU(max_value=6.0, name=f"{name}_relu")(x)
        if pooled:
            x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    return x


# (repeats, kernel, stride, expansion, channels) a stage
SMALLNET_STAGES = ((1, 3, 1, 2, 24), (2, 3, 2, 4, 32), (2, 3, 2, 4, 48), (3, 5, 1, 4, 64))
SMALLNET_STEM, SMALLNET_TOP = 24, 192


def smallnet(keras: Any, inputs: Any, *, folded: bool = False) -> Any:
    """A residual network of inverted bottlenecks under 200,000 parameters that keeps an eighth of the resolution.

    Args:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        inputs: symbolic float32 [batch, height, width, 3], values −1 to 1.
        folded: leave BatchNormalization out and give the convolutions a bias instead.
    Returns:
        Symbolic float32 [batch, height / 8, width / 8, 192].
    Source: the block of Sandler et al. 2018 (MobileNetV2).
    """
    make = Layers(keras, folded)
    x = make.conv(inputs, SMALLNET_STEM, 3, 2, "stem")
    for index, (repeats, kernel, stride, expansion, channels) in enumerate(SMALLNET_STAGES):
        for repeat in range(repeats):
            x = make.inverted_residual(
                x, f"block{index + 1}{chr(ord('a') + repeat)}", expanded=x.shape[-1] * expansion, kernel=kernel,
                stride=stride if repeat == 0 else 1, channels=channels,
            )  # fmt: skip
    return make.conv(x, SMALLNET_TOP, 1, 1, "top")


BACKBONES = (
    Backbone("lenet5", "from scratch", 64, 84, MINUS_ONE_TO_ONE, build=lenet5),
    Backbone("smallnet", "from scratch", 96, SMALLNET_TOP, MINUS_ONE_TO_ONE, build=smallnet),
)
