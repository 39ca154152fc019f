"""EfficientNet-Lite 0 to 4, written once for any Keras namespace.

Source: Tan and Le 2019 (EfficientNet); the Lite variants drop squeeze-and-excitation, use ReLU6, and keep stem and top
at their width so that they quantize well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

BATCHNORM_EPSILON = 1e-3


@dataclass(frozen=True)
class Variant:
    """Compound scaling of one member of the family; resolution in pixels."""

    width: float
    depth: float
    resolution_px: int


VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224),
    "efficientnet-lite1": Variant(1.0, 1.1, 240),
    "efficientnet-lite2": Variant(1.1, 1.2, 260),
    "efficientnet-lite3": Variant(1.2, 1.4, 280),
    "efficientnet-lite4": Variant(1.4, 1.8, 300),
}

STEM_CHANNELS, TOP_CHANNELS = 32, 1280
# (repeats, kernel, stride, expansion, channels) a stage, before scaling
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class Block:
    """One inverted residual: its layers' prefix (block3a …), kernel, stride, expansion and channels in and out."""

    name: str
    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels_out: int


def blocks(variant: Variant) -> list[Block]:
    """The blocks of a variant, bottom first, after width and depth scaling."""
    listed = []
    channels_in = STEM_CHANNELS
    for index, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
        scaled = _round_channels(channels * variant.width)
        fixed = index in (0, len(STAGES) - 1)  # Lite leaves the first and last stage at their depth
        for repeat in range(repeats if fixed else math.ceil(repeats * variant.depth)):
            name = f"block{index + 1}{chr(ord('a') + repeat)}"
            listed.append(Block(name, kernel, stride if repeat == 0 else 1, expansion, channels_in, scaled))
            channels_in = scaled
    return listed


def build(keras: Any, inputs: Any, variant: Variant, *, folded: bool = False) -> Any:
    """Apply the network to normalized images.

    Args:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        inputs: symbolic float32 [batch, height, width, 3], values (x − 127) / 128.
        variant: one of VARIANTS.
        folded: leave BatchNormalization out and give the convolutions a bias instead.
    Returns:
        Symbolic float32 [batch, height / 32, width / 32, 1280].
    """
    layers = keras.layers

    def normalized(x: Any, convolution: Any, name: str, *, relu: bool) -> Any:
        x = convolution(x)
        if not folded:
            x = layers.BatchNormalization(epsilon=BATCHNORM_EPSILON, name=f"{name}_bn")(x)
        return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if relu else x

    def conv(x: Any, channels: int, kernel: int, stride: int, name: str, *, relu: bool) -> Any:
        layer = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=folded, name=f"{name}_conv")
        return normalized(x, layer, name, relu=relu)

    def depthwise(x: Any, kernel: int, stride: int, name: str) -> Any:
        layer = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=folded, name=f"{name}_conv")
        return normalized(x, layer, name, relu=True)

    x = conv(inputs, STEM_CHANNELS, 3, 2, "stem", relu=True)
    for block in blocks(variant):
        shortcut = x
        if block.expansion != 1:
            x = conv(x, block.channels_in * block.expansion, 1, 1, f"{block.name}_expand", relu=True)
        x = depthwise(x, block.kernel, block.stride, f"{block.name}_depthwise")
        x = conv(x, block.channels_out, 1, 1, f"{block.name}_project", relu=False)
        if block.stride == 1 and block.channels_in == block.channels_out:
            x = layers.Add(name=f"{block.name}_add")([x, shortcut])
    return conv(x, TOP_CHANNELS, 1, 1, "top", relu=True)


def torch_names(variant: Variant) -> dict[str, str]:
    """Where the weights packages keep each layer: our layer name → prefix in their state dict."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    for index, block in enumerate(blocks(variant)):
        prefix = f"_blocks.{index}"
        parts = [("expand", "_expand_conv", "_bn0")] if block.expansion != 1 else []
        parts += [("depthwise", "_depthwise_conv", "_bn1"), ("project", "_project_conv", "_bn2")]
        for part, convolution, batchnorm in parts:
            names[f"{block.name}_{part}_conv"] = f"{prefix}.{convolution}"
            names[f"{block.name}_{part}_bn"] = f"{prefix}.{batchnorm}"
    return names


def _round_channels(channels: float, divisor: int = 8) -> int:
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
