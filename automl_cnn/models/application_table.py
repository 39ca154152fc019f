"""What is known of each keras.applications network without building it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl_cnn.models.backbone import IMAGENET, MINUS_ONE_TO_ONE, Normalization

URL = "https://storage.googleapis.com/tensorflow/keras-applications"

# "caffe": the mean colour of ImageNet is taken off; the networks saw BGR, see Network.trained_on_bgr
CAFFE = Normalization(scale=(1.0, 1.0, 1.0), offset=(-123.68, -116.779, -103.939))
TF, TORCH = MINUS_ONE_TO_ONE, IMAGENET
# EfficientNetV2 S to L bring Rescaling(1 / 128, −1), which `include_preprocessing=False` leaves out
ONE_128TH = Normalization(scale=(1 / 128,) * 3, offset=(-1.0,) * 3)


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
        f"EfficientNetV2{size}": _efficientnet_v2(size.lower(), px) for size, px in (("S", 384), ("M", 480), ("L", 480))
    },
}
"""Class name → what is known of it, for all classes that the project does not define itself."""

OWN_NAMES: dict[str, str] = {
    **{f"EfficientNetB{number}": f"efficientnet-b{number}" for number in range(8)},
    **{f"EfficientNetV2B{number}": f"efficientnetv2-b{number}" for number in range(4)},
    "MobileNet": "mobilenet-1.0",
    "MobileNetV2": "mobilenetv2-1.0",
    "MobileNetV3Small": "mobilenetv3-small-1.0",
    "MobileNetV3Large": "mobilenetv3-large-1.0",
}
"""Class name → the project's own definition of it."""

COUNTS: dict[str, tuple[int, int, int, int]] = {
    "ResNet50": (23_587_712, 3_855_925_248, 483, 32),
    "ResNet101": (42_658_176, 7_568_146_432, 1027, 32),
    "ResNet152": (58_370_944, 11_280_367_616, 1507, 32),
    "ResNet50V2": (23_564_800, 3_480_207_360, 483, 32),
    "ResNet101V2": (42_626_560, 7_192_428_544, 1027, 32),
    "ResNet152V2": (58_331_648, 10_904_649_728, 1507, 32),
    "DenseNet121": (7_037_504, 2_833_137_664, 2071, 32),
    "DenseNet169": (12_642_880, 3_358_179_328, 3351, 32),
    "DenseNet201": (18_321_984, 4_289_445_888, 3863, 32),
    "ConvNeXtTiny": (27_820_128, 4_454_763_264, 1688, 32),
    "ConvNeXtSmall": (49_454_688, 8_682_944_256, 3416, 32),
    "ConvNeXtBase": (87_566_464, 15_353_705_472, 3416, 32),
    "ConvNeXtLarge": (196_230_336, 34_359_897_600, 3416, 32),
    "ConvNeXtXLarge": (348_147_968, 60_918_982_656, 3416, 32),
    "VGG16": (14_714_688, 15_346_630_656, 212, 32),
    "VGG19": (20_024_384, 19_508_428_800, 268, 32),
    "InceptionV3": (21_802_784, 5_711_168_096, 1311, 32),
    "InceptionResNetV2": (54_336_736, 13_154_258_016, 3039, 32),
    "Xception": (20_861_480, 8_355_355_496, 1083, 32),
    "NASNetMobile": (4_269_716, 562_582_816, 2407, 32),
    "NASNetLarge": (84_916_818, 23_779_382_658, 3303, 32),
    "EfficientNetV2S": (20_331_360, 8_364_337_152, 1487, 32),
    "EfficientNetV2M": (53_150_388, 24_581_180_384, 2219, 32),
    "EfficientNetV2L": (117_746_848, 56_078_419_008, 3103, 32),
}
"""Class name → parameters, multiply-adds, receptive field and stride in pixels, as `models.anatomy` defines them.

Of the network without its head at its own input size, counted from Keras (benchmarks/keras_counts.py).
"""
