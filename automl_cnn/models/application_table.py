"""What is known of each keras.applications network without building it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl_cnn.models.backbone import IMAGENET, MINUS_ONE_TO_ONE, Normalization

URL = "https://storage.googleapis.com/tensorflow/keras-applications"
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# "caffe": the mean colour of ImageNet is taken off; the networks saw BGR, see Network.trained_on_bgr
CAFFE = Normalization(scale=(1.0, 1.0, 1.0), offset=(-123.68, -116.779, -103.939))
TF, TORCH = MINUS_ONE_TO_ONE, IMAGENET
# EfficientNetV2 S to L bring Rescaling(1 / 128, −1), which `include_preprocessing=False` leaves out
ONE_128TH = Normalization(scale=(1 / 128,) * 3, offset=(-1.0,) * 3)
# EfficientNet B4 to B7 keep their own Rescaling and Normalization; the file holds deviations where variances belong
# (see models/efficientnet.py), so this is what makes the two together (pixels / 255 − mean) / deviation.
BEFORE_EFFICIENTNET = Normalization(
    scale=tuple(deviation**-0.5 for deviation in IMAGENET_DEVIATION),
    offset=tuple(
        255 * mean * (1 - deviation**-0.5) for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)
    ),
)


@dataclass(frozen=True)
class Network:
    """One class of keras.applications.

    Attributes:
        input_size_px: height and width that its ImageNet weights were trained at.
        smallest_px: the least that Keras takes.
        width: number of features after pooling.
        normalization: of its input, in the order R, G, B.
        url: of the official weights without the classification head.
        files: names under which they are accepted in `search.weights_dir`.
        arguments: of the constructor.
    """

    input_size_px: int
    width: int
    normalization: Normalization
    url: str
    files: tuple[str, ...]
    smallest_px: int = 32
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trained_on_bgr(self) -> bool:
        """Whether the first kernel of the official weights expects blue first."""
        return self.normalization is CAFFE


def _network(
    size_px: int, width: int, normalization: Normalization, folder: str, stem: str, end: str = "_notop.h5", **more: Any
) -> Network:
    files = (f"{stem}{end}", f"{stem}.h5", f"{stem}*.weights.h5")
    return Network(size_px, width, normalization, f"{URL}/{folder}/{stem}{end}", files, **more)


def _kernels(name: str) -> str:
    return f"{name}_weights_tf_dim_ordering_tf_kernels"


def _convnext(size: str, width: int) -> Network:
    # only without its head: the last LayerNormalization of the whole model stands behind the pooling
    stem = f"convnext_{size}"
    return Network(
        224, width, TORCH, f"{URL}/convnext/{stem}_notop.h5", (f"{stem}_notop.h5", f"{stem}*notop.weights.h5"),
        arguments={"include_preprocessing": False},
    )  # fmt: skip


def _nasnet(size: str, size_px: int, width: int) -> Network:
    official, kept = f"NASNet-{size}-no-top.h5", f"nasnet_{size}_no_top.h5"  # on the server, and as Keras stores it
    files = (kept, official, f"nasnet_{size}.h5", f"NASNet-{size}.h5", f"nasnet_{size}*.weights.h5")
    return Network(size_px, width, TF, f"{URL}/nasnet/{official}", files)


def _efficientnet(number: int, size_px: int, width: int) -> Network:
    stem = f"efficientnetb{number}"
    url = f"https://storage.googleapis.com/keras-applications/{stem}_notop.h5"
    return Network(size_px, width, BEFORE_EFFICIENTNET, url, (f"{stem}_notop.h5", f"{stem}.h5", f"{stem}*.weights.h5"))


def _efficientnet_v2(size: str, size_px: int) -> Network:
    stem, arguments = f"efficientnetv2-{size}", {"include_preprocessing": False}
    return _network(size_px, 1280, ONE_128TH, "efficientnet_v2", stem, arguments=arguments)


TABLE: dict[str, Network] = {
    **{f"ResNet{depth}": _network(224, 2048, CAFFE, "resnet", _kernels(f"resnet{depth}")) for depth in (50, 101, 152)},
    **{f"ResNet{depth}V2": _network(224, 2048, TF, "resnet", _kernels(f"resnet{depth}v2")) for depth in (50, 101, 152)},
    **{
        f"DenseNet{depth}": _network(224, width, TORCH, "densenet", _kernels(f"densenet{depth}"))
        for depth, width in ((121, 1024), (169, 1664), (201, 1920))
    },
    **{
        f"ConvNeXt{size}": _convnext(size.lower(), width)
        for size, width in (("Tiny", 768), ("Small", 768), ("Base", 1024), ("Large", 1536), ("XLarge", 2048))
    },
    **{f"VGG{depth}": _network(224, 512, CAFFE, f"vgg{depth}", _kernels(f"vgg{depth}")) for depth in (16, 19)},
    "InceptionV3": _network(299, 2048, TF, "inception_v3", _kernels("inception_v3"), smallest_px=75),
    "InceptionResNetV2": _network(
        299, 1536, TF, "inception_resnet_v2", _kernels("inception_resnet_v2"), smallest_px=75
    ),
    "Xception": _network(299, 2048, TF, "xception", _kernels("xception"), smallest_px=71),
    "NASNetMobile": _nasnet("mobile", 224, 1056),
    "NASNetLarge": _nasnet("large", 331, 4032),
    **{
        f"EfficientNetB{number}": _efficientnet(number, size_px, width)
        for number, size_px, width in ((4, 380, 1792), (5, 456, 2048), (6, 528, 2304), (7, 600, 2560))
    },
    **{
        f"EfficientNetV2{size}": _efficientnet_v2(size.lower(), px) for size, px in (("S", 384), ("M", 480), ("L", 480))
    },
}
"""Class name → what is known of it, for all classes that the project does not define itself."""

OWN_NAMES: dict[str, str] = {
    **{f"EfficientNetB{number}": f"efficientnet-b{number}" for number in range(4)},
    **{f"EfficientNetV2B{number}": f"efficientnetv2-b{number}" for number in range(4)},
    "MobileNet": "mobilenet-1.0",
    "MobileNetV2": "mobilenetv2-1.0",
    "MobileNetV3Small": "mobilenetv3-small-1.0",
    "MobileNetV3Large": "mobilenetv3-large-1.0",
}
"""Class name → the project's own definition of it."""
