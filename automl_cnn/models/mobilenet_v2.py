"""MobileNetV2, written once for any Keras namespace.

Source: Sandler et al. 2018 (arXiv 1801.04381); channels and weights as in keras.applications, whose explicit padding is
that of 'same' at every size.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from automl_cnn.models.backbone import MINUS_ONE_TO_ONE, Application, Backbone
from automl_cnn.models.layers import Layers, round_channels

ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
STEM_CHANNELS, TOP_CHANNELS = 32, 1280
# (repeats, stride of the first, expansion, channels) a stage, at alpha 1
STAGES = (
    (1, 1, 1, 16),
    (2, 2, 6, 24),
    (3, 2, 6, 32),
    (4, 2, 6, 64),
    (3, 1, 6, 96),
    (3, 2, 6, 160),
    (1, 1, 6, 320),
)
URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2"


def build(keras: Any, inputs: Any, alpha: float, *, folded: bool = False) -> Any:
    """Apply the network to normalized images.

    Args:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        inputs: symbolic float32 [batch, height, width, 3], values in −1…1.
        alpha: width, 1 as published.
        folded: leave BatchNormalization out and give the convolutions a bias instead.
    Returns:
        Symbolic float32 [batch, height / 32, width / 32, 1280], wider where alpha is above 1.
    """
    make = Layers(keras, folded)
    x = make.conv(inputs, round_channels(STEM_CHANNELS * alpha), 3, 2, "stem")
    for name, stride, expansion, channels in blocks():
        x = make.inverted_residual(
            x, name, expanded=x.shape[-1] * expansion, kernel=3, stride=stride,
            channels=round_channels(int(channels * alpha)),
        )  # fmt: skip
    return make.conv(x, top_channels(alpha), 1, 1, "top")


def blocks() -> list[tuple[str, int, int, int]]:
    """Name, stride, expansion and channels at alpha 1 of each block, bottom first."""
    return [
        (f"block{stage}{chr(ord('a') + repeat)}", stride if repeat == 0 else 1, expansion, channels)
        for stage, (repeats, stride, expansion, channels) in enumerate(STAGES, start=1)
        for repeat in range(repeats)
    ]


def top_channels(alpha: float) -> int:
    """Width of the convolution on top, which is not narrowed."""
    return round_channels(TOP_CHANNELS * max(alpha, 1.0))


def application_layers() -> dict[str, str]:
    """Our layer name → that of keras.applications."""
    names = {"stem_conv": "Conv1", "stem_bn": "bn_Conv1", "top_conv": "Conv_1", "top_bn": "Conv_1_bn"}
    for index, (block, _, expansion, _) in enumerate(blocks()):
        prefix = f"block_{index}" if index else "expanded_conv"
        for part in ("expand", "depthwise", "project") if expansion != 1 else ("depthwise", "project"):
            names[f"{block}_{part}_conv"] = f"{prefix}_{part}"
            names[f"{block}_{part}_bn"] = f"{prefix}_{part}_BN"
    return names


def _backbone(alpha: float) -> Backbone:
    name, official = f"mobilenetv2-{alpha}", f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}"
    return Backbone(
        name,
        family="MobileNetV2",
        input_size_px=224,
        width=top_channels(alpha),
        normalization=MINUS_ONE_TO_ONE,
        build=partial(build, alpha=alpha),
        weights=Application(
            "MobileNetV2",
            {"alpha": alpha},
            (f"{name}*.h5", f"mobilenet_v2_{alpha}_*.h5", f"{official}_*.h5"),
            f"{URL}/{official}_224_no_top.h5",
            application_layers,
        ),
    )


BACKBONES = tuple(_backbone(alpha) for alpha in ALPHAS)
