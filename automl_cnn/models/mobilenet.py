"""MobileNet (version 1), written once for any Keras namespace.

Source: Howard et al. 2017 (arXiv 1704.04861); channels, padding and weights as in keras.applications.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from automl_cnn.models.backbone import MINUS_ONE_TO_ONE, Application, Backbone
from automl_cnn.models.layers import Layers

OFFICIAL_ALPHAS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}  # how the official file names write them
STEM_CHANNELS, TOP_CHANNELS = 32, 1024
# (repeats, stride of the first, channels) a stage, at alpha 1
STAGES = ((1, 1, 64), (2, 2, 128), (2, 2, 256), (6, 2, 512), (2, 2, TOP_CHANNELS))
URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet"


def build(keras: Any, inputs: Any, alpha: float, *, folded: bool = False) -> Any:
    """Apply the network to normalized images.

    Args:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        inputs: symbolic float32 [batch, size, size, 3], values in −1…1.
        alpha: width, 1 as published.
        folded: leave BatchNormalization out and give the convolutions a bias instead.
    Returns:
        Symbolic float32 [batch, size / 32, size / 32, 1024 · alpha]; there is no convolution on top.
    """
    make = Layers(keras, folded)
    x = make.conv(inputs, int(STEM_CHANNELS * alpha), 3, 2, "stem")
    for name, stride, channels in blocks():
        x = make.depthwise(x, 3, stride, f"{name}_depthwise", padding=_padding(x.shape[1], stride))
        x = make.conv(x, int(channels * alpha), 1, 1, f"{name}_pointwise")
    return x


def blocks() -> list[tuple[str, int, int]]:
    """Name, stride and channels at alpha 1 of each block, bottom first."""
    return [
        (f"block{stage}{chr(ord('a') + repeat)}", stride if repeat == 0 else 1, channels)
        for stage, (repeats, stride, channels) in enumerate(STAGES, start=1)
        for repeat in range(repeats)
    ]


def application_layers() -> dict[str, str]:
    """Our layer name → that of keras.applications."""
    names = {"stem_conv": "conv1", "stem_bn": "conv1_bn"}
    for index, (block, _, _) in enumerate(blocks(), start=1):
        for ours, theirs in (("depthwise", "dw"), ("pointwise", "pw")):
            names[f"{block}_{ours}_conv"] = f"conv_{theirs}_{index}"
            names[f"{block}_{ours}_bn"] = f"conv_{theirs}_{index}_bn"
    return names


def _padding(size: int, stride: int) -> str:
    """The padding that equals keras.applications' row and column of zeros below and right of a strided convolution.

    At an even size that is what 'same' adds. At an odd size the convolution never reaches the zeros.
    """
    return "same" if stride == 1 or size % 2 == 0 else "valid"


def _backbone(alpha: float) -> Backbone:
    name, official = f"mobilenet-{alpha}", OFFICIAL_ALPHAS[alpha]
    return Backbone(
        name,
        family="MobileNet",
        input_size_px=224,
        width=int(TOP_CHANNELS * alpha),
        normalization=MINUS_ONE_TO_ONE,
        build=partial(build, alpha=alpha),
        weights=Application(
            "MobileNet",
            {"alpha": alpha},
            (f"{name}*.h5", f"mobilenet_v1_{alpha}_*.h5", f"mobilenet_{official}_*_tf*.h5"),
            f"{URL}/mobilenet_{official}_224_tf_no_top.h5",
            application_layers,
        ),
    )


BACKBONES = tuple(_backbone(alpha) for alpha in OFFICIAL_ALPHAS)
