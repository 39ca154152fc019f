"""EfficientNetV2 B0 to B3, written once for any Keras namespace.

Source: Tan and Le 2021; layers as in keras.applications. The lower stages are fused: one full convolution in place of
expansion and depthwise convolution, which is faster where channels are few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from automl_cnn.models.backbone import IMAGENET, Application, Backbone
from automl_cnn.models.efficientnet import inverted_residual
from automl_cnn.models.efficientnet_lite import Block, Variant
from automl_cnn.models.layers import Layers

VARIANTS = {
    "efficientnetv2-b0": Variant(1.0, 1.0, 224),
    "efficientnetv2-b1": Variant(1.0, 1.1, 240),
    "efficientnetv2-b2": Variant(1.1, 1.2, 260),
    "efficientnetv2-b3": Variant(1.2, 1.4, 300),
}
STEM_CHANNELS, TOP_CHANNELS = 32, 1280
WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/efficientnet_v2/"


@dataclass(frozen=True)
class Stage:
    """Blocks of one shape, before scaling."""

    repeats: int
    stride: int
    expansion: int
    channels: int
    fused: bool


STAGES = (
    Stage(1, 1, 1, 16, fused=True),
    Stage(2, 2, 4, 32, fused=True),
    Stage(2, 2, 4, 48, fused=True),
    Stage(3, 2, 4, 96, fused=False),
    Stage(5, 1, 6, 112, fused=False),
    Stage(8, 2, 6, 192, fused=False),
)
KERNEL = 3  # of every block


def blocks(variant: Variant) -> list[tuple[Block, bool]]:
    """The blocks of a variant with whether they are fused, bottom first, after width and depth scaling."""
    listed = []
    channels_in = _scaled(STEM_CHANNELS, variant)
    for index, stage in enumerate(STAGES):
        channels = _scaled(stage.channels, variant)
        for repeat in range(math.ceil(stage.repeats * variant.depth)):
            name, stride = f"block{index + 1}{chr(ord('a') + repeat)}", stage.stride if repeat == 0 else 1
            listed.append((Block(name, KERNEL, stride, stage.expansion, channels_in, channels), stage.fused))
            channels_in = channels
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
    x = make.conv(inputs, _scaled(STEM_CHANNELS, variant), 3, 2, "stem", activation="swish")
    for block, fused in blocks(variant):
        x = _fused(make, x, block) if fused else inverted_residual(make, x, block)
    return make.conv(x, _scaled(TOP_CHANNELS, variant), 1, 1, "top", activation="swish")


def application_layers(variant: Variant) -> dict[str, str]:
    """Where keras.applications keeps each layer: our name → its name."""
    names = {name: name for name in ("stem_conv", "stem_bn", "top_conv", "top_bn")}
    for block, fused in blocks(variant):
        same = ["project_conv", "project_bn"] + ["expand_conv", "expand_bn"] * (block.expansion != 1)
        names |= {f"{block.name}_{part}": f"{block.name}_{part}" for part in same}
        if not fused:
            names[f"{block.name}_depthwise_conv"] = f"{block.name}_dwconv2"
            names[f"{block.name}_depthwise_bn"] = f"{block.name}_bn"
            names |= {f"{block.name}_se_{part}_conv": f"{block.name}_se_{part}" for part in ("reduce", "expand")}
    return names


def _fused(make: Layers, x: Any, block: Block) -> Any:
    shortcut, project = x, f"{block.name}_project"
    if block.expansion == 1:
        x = make.conv(x, block.channels_out, block.kernel, block.stride, project, activation="swish")
    else:
        expanded = block.channels_in * block.expansion
        x = make.conv(x, expanded, block.kernel, block.stride, f"{block.name}_expand", activation="swish")
        x = make.conv(x, block.channels_out, 1, 1, project, activation=None)
    same_shape = block.stride == 1 and block.channels_in == block.channels_out
    return make.add(x, shortcut, block.name) if same_shape else x


def _scaled(channels: int, variant: Variant) -> int:
    """To the nearest multiple of 8; the rule of the first EfficientNet, never below 90 %, is gone here."""
    return max(8, int(channels * variant.width + 4) // 8 * 8)


def _backbone(name: str, variant: Variant) -> Backbone:
    return Backbone(
        name,
        family="EfficientNetV2",
        input_size_px=variant.resolution_px,
        width=_scaled(TOP_CHANNELS, variant),
        normalization=IMAGENET,
        build=partial(build, variant=variant),
        weights=Application(
            constructor=f"EfficientNetV2{name[-2:].upper()}",
            arguments={"include_preprocessing": False},
            files=(f"{name}_notop.h5", f"{name}.h5", f"{name}*.weights.h5"),
            url=f"{WEIGHTS_URL}{name}_notop.h5",
            layers=partial(application_layers, variant),
        ),
    )


BACKBONES = tuple(_backbone(name, variant) for name, variant in VARIANTS.items())
