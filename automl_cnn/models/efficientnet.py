"""EfficientNet B0 to B7, written once for any Keras namespace.

Layers as in keras.applications, whose padding before a stride of two equals 'same'. Its weight files hold ImageNet's
standard deviations where a Normalization layer expects variances, and a second Rescaling by 1 / √deviation mends that
(tensorflow issue 49930): together (pixels / 255 − mean) / deviation, which is what IMAGENET says.

Source: Tan and Le 2019.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from automl_cnn.models.backbone import IMAGENET, Application, Backbone
from automl_cnn.models.efficientnet_lite import STAGES, Block, Variant
from automl_cnn.models.layers import Layers, round_channels

VARIANTS = {
    "efficientnet-b0": Variant(1.0, 1.0, 224),
    "efficientnet-b1": Variant(1.0, 1.1, 240),
    "efficientnet-b2": Variant(1.1, 1.2, 260),
    "efficientnet-b3": Variant(1.2, 1.4, 300),
    "efficientnet-b4": Variant(1.4, 1.8, 380),
    "efficientnet-b5": Variant(1.6, 2.2, 456),
    "efficientnet-b6": Variant(1.8, 2.6, 528),
    "efficientnet-b7": Variant(2.0, 3.1, 600),
}
STEM_CHANNELS, TOP_CHANNELS = 32, 1280
SQUEEZE = 4  # squeeze-and-excitation narrows to a quarter of the block's channels before expansion
WEIGHTS_URL = "https://storage.googleapis.com/keras-applications/"


def blocks(variant: Variant) -> list[Block]:
    """The blocks of a variant, bottom first; unlike in Lite, stem, first and last stage are scaled too."""
    listed = []
    channels_in = round_channels(STEM_CHANNELS * variant.width)
    for index, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
        scaled = round_channels(channels * variant.width)
        for repeat in range(math.ceil(repeats * variant.depth)):
            name = f"block{index + 1}{chr(ord('a') + repeat)}"
            listed.append(Block(name, kernel, stride if repeat == 0 else 1, expansion, channels_in, scaled))
            channels_in = scaled
    return listed


def build(keras: Any, inputs: Any, variant: Variant, *, folded: bool = False) -> Any:
    """Apply the network to normalized images.

    Args:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        inputs: symbolic float32 [batch, height, width, 3], mean 0 and deviation 1 over ImageNet.
        variant: one of VARIANTS.
        folded: leave BatchNormalization out and give the convolutions a bias instead.
    Returns:
        Symbolic float32 [batch, height / 32, width / 32, 1280 · width].
    """
    make = Layers(keras, folded)
    x = make.conv(inputs, round_channels(STEM_CHANNELS * variant.width), 3, 2, "stem", activation="swish")
    for block in blocks(variant):
        x = inverted_residual(make, x, block)
    return make.conv(x, _top_channels(variant), 1, 1, "top", activation="swish")


def inverted_residual(make: Layers, x: Any, block: Block) -> Any:
    """A block with squeeze-and-excitation and swish, as EfficientNetV2 has it too."""
    excite = partial(
        make.squeeze_excite, squeezed=block.channels_in // SQUEEZE, name=f"{block.name}_se", activation="swish"
    )
    return make.inverted_residual(
        x, block.name, expanded=block.channels_in * block.expansion, kernel=block.kernel, stride=block.stride,
        channels=block.channels_out, activation="swish", excite=excite,
    )  # fmt: skip


def application_layers(variant: Variant) -> dict[str, str]:
    """Where keras.applications keeps each layer: our name → its name."""
    names = {name: name for name in ("stem_conv", "stem_bn", "top_conv", "top_bn")}
    for block in blocks(variant):
        same = ["project_conv", "project_bn"] + ["expand_conv", "expand_bn"] * (block.expansion != 1)
        names |= {f"{block.name}_{part}": f"{block.name}_{part}" for part in same}
        names |= {
            f"{block.name}_depthwise_conv": f"{block.name}_dwconv",
            f"{block.name}_depthwise_bn": f"{block.name}_bn",
        }
        names |= {f"{block.name}_se_{part}_conv": f"{block.name}_se_{part}" for part in ("reduce", "expand")}
    return names


def _top_channels(variant: Variant) -> int:
    return round_channels(TOP_CHANNELS * variant.width)


def _backbone(name: str, variant: Variant) -> Backbone:
    official = name.replace("-", "")  # efficientnetb0
    return Backbone(
        name,
        family="EfficientNet",
        input_size_px=variant.resolution_px,
        width=_top_channels(variant),
        normalization=IMAGENET,
        build=partial(build, variant=variant),
        weights=Application(
            constructor=f"EfficientNet{name[-2:].upper()}",
            arguments={},
            files=(f"{official}_notop.h5", f"{official}.h5", f"{official}*.weights.h5"),
            url=f"{WEIGHTS_URL}{official}_notop.h5",
            layers=partial(application_layers, variant),
        ),
    )


BACKBONES = tuple(_backbone(name, variant) for name, variant in VARIANTS.items())
