"""MobileNetV3 Small and Large, written once for any Keras namespace.

The features are those of keras.applications with include_top=False: the average of the last convolution, 576 of them
for Small and 960 for Large at alpha 1. The 1×1 convolution that the paper puts behind the average belongs to the
ImageNet classifier, and the official files without a head do not hold it.

Source: Howard et al. 2019 (arXiv 1905.02244); channels and weights as in keras.applications.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from automl_cnn.models.backbone import MINUS_ONE_TO_ONE, Application, Backbone
from automl_cnn.models.layers import Layers, round_channels

ALPHAS = (0.75, 1.0)
STEM_CHANNELS, TOP_EXPANSION, SQUEEZE = 16, 6, 0.25
URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v3"


@dataclass(frozen=True)
class Row:
    """Blocks of one shape: stage, kernel, stride of the first, expansion of each, channels at alpha 1, whether they
    squeeze and excite, and the activation."""

    stage: int
    kernel: int
    stride: int
    expansions: tuple[float, ...]
    channels: int
    excites: bool
    activation: str


VARIANTS = {
    "small": (
        Row(1, 3, 2, (1,), 16, True, "relu"),
        Row(2, 3, 2, (72 / 16, 88 / 24), 24, False, "relu"),
        Row(3, 5, 2, (4, 6, 6), 40, True, "hard_swish"),
        Row(4, 5, 1, (3, 3), 48, True, "hard_swish"),
        Row(5, 5, 2, (6, 6, 6), 96, True, "hard_swish"),
    ),
    "large": (
        Row(1, 3, 1, (1,), 16, False, "relu"),
        Row(2, 3, 2, (4, 3), 24, False, "relu"),
        Row(3, 5, 2, (3, 3, 3), 40, True, "relu"),
        Row(4, 3, 2, (6, 2.5, 2.3, 2.3), 80, False, "hard_swish"),
        Row(5, 3, 1, (6, 6), 112, True, "hard_swish"),
        Row(6, 5, 2, (6, 6, 6), 160, True, "hard_swish"),
    ),
}


def build(keras: Any, inputs: Any, variant: str, alpha: float, *, folded: bool = False) -> Any:
    """Apply the network to normalized images.

    Args:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        inputs: symbolic float32 [batch, height, width, 3], values in −1…1.
        variant: small or large.
        alpha: width, 1 as published.
        folded: leave BatchNormalization out and give the convolutions a bias instead.
    Returns:
        Symbolic float32 [batch, height / 32, width / 32, 6 · channels of the last block].
    """
    make = Layers(keras, folded)
    x = make.conv(inputs, STEM_CHANNELS, 3, 2, "stem", activation="hard_swish")
    for name, row, stride, expansion in blocks(variant):
        expanded = round_channels(x.shape[-1] * expansion)
        squeezed = partial(
            make.squeeze_excite, squeezed=round_channels(expanded * SQUEEZE), name=f"{name}_se", gate="hard_sigmoid"
        )
        x = make.inverted_residual(
            x, name, expanded=expanded, kernel=row.kernel, stride=stride, channels=round_channels(row.channels * alpha),
            activation=row.activation, excite=squeezed if row.excites else None,
        )  # fmt: skip
    return make.conv(x, top_channels(variant, alpha), 1, 1, "top", activation="hard_swish")


def blocks(variant: str) -> list[tuple[str, Row, int, float]]:
    """Name, row, stride and expansion of each block, bottom first."""
    return [
        (f"block{row.stage}{chr(ord('a') + repeat)}", row, row.stride if repeat == 0 else 1, expansion)
        for row in VARIANTS[variant]
        for repeat, expansion in enumerate(row.expansions)
    ]


def top_channels(variant: str, alpha: float) -> int:
    """Width of the last convolution."""
    return round_channels(round_channels(VARIANTS[variant][-1].channels * alpha) * TOP_EXPANSION)


def application_layers(variant: str) -> dict[str, str]:
    """Our layer name → that of keras.applications."""
    names = {"stem_conv": "conv", "stem_bn": "conv_bn", "top_conv": "conv_1", "top_bn": "conv_1_bn"}
    for index, (block, row, _, expansion) in enumerate(blocks(variant)):
        prefix = f"expanded_conv_{index}" if index else "expanded_conv"
        for part in ("expand", "depthwise", "project") if expansion != 1 else ("depthwise", "project"):
            names[f"{block}_{part}_conv"] = f"{prefix}_{part}"
            names[f"{block}_{part}_bn"] = f"{prefix}_{part}_bn"
        if row.excites:
            names[f"{block}_se_reduce_conv"] = f"{prefix}_squeeze_excite_conv"
            names[f"{block}_se_expand_conv"] = f"{prefix}_squeeze_excite_conv_1"
    return names


def _backbone(variant: str, alpha: float) -> Backbone:
    name, official = f"mobilenetv3-{variant}-{alpha}", f"weights_mobilenet_v3_{variant}_224_{alpha}_float"
    return Backbone(
        name,
        family="MobileNetV3",
        input_size_px=224,
        width=top_channels(variant, alpha),
        normalization=MINUS_ONE_TO_ONE,
        build=partial(build, variant=variant, alpha=alpha),
        weights=Application(
            f"MobileNetV3{variant.capitalize()}",
            {"alpha": alpha},
            (f"{name}*.h5", f"mobilenet_v3_{variant}_{alpha}_*.h5", f"{official}*.h5"),
            f"{URL}/{official}_no_top_v2.h5",
            partial(application_layers, variant),
        ),
    )


BACKBONES = tuple(_backbone(variant, alpha) for variant in VARIANTS for alpha in ALPHAS)
