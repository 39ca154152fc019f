"""Parameters, multiply-adds and receptive field of a backbone, counted without TensorFlow.

A family's build function takes any Keras namespace, so it also takes the small one below, whose layers compute nothing:
they add up what they would cost and hand on the shape of what they would give.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from automl_cnn.models.application_table import COUNTS
from automl_cnn.models.backbone import Backbone


@dataclass(frozen=True)
class Anatomy:
    """What a backbone is made of, pixels to pooled features: no classification head, no normalization.

    Attributes:
        parameters: weights, the moving statistics of BatchNormalization included, as Keras counts them.
        multiply_adds: of convolutions and dense layers on one image; BatchNormalization counts nothing, as it is
            folded away, nor do additions and activations.
        receptive_field_px: side of the square of input pixels that one place of the last map can see, through
            convolutions and pooling; squeeze-and-excitation, which averages the whole image, is left out.
        width: number of features.
        stride_px: distance in input pixels between two neighbouring places of the last map.
    """

    parameters: int
    multiply_adds: int
    receptive_field_px: int
    width: int
    stride_px: int


@cache
def anatomy_of(backbone: Backbone, input_size_px: int, *, folded: bool = False) -> Anatomy:
    """Count a backbone of the registry.

    Args:
        backbone: of a network that is defined here, which is counted; of keras.applications, for which counts are on
            record at its own input size, and the multiply-adds grow with the area from there.
        input_size_px: height and width of the square input.
        folded: without BatchNormalization; counts on record stay as they are.
    """
    if not backbone.keras_only:
        return measure(backbone.build, input_size_px, folded=folded)
    parameters, multiply_adds, field_px, stride_px = COUNTS[backbone.name]
    scaled = round(multiply_adds * (input_size_px / backbone.input_size_px) ** 2)
    return Anatomy(parameters, scaled, field_px, backbone.width, stride_px)


def measure(build: Callable[..., Any], input_size_px: int, *, folded: bool = False) -> Anatomy:
    """Count what a build function builds.

    Args:
        build: of a Backbone: (namespace, inputs, *, folded) → features.
        input_size_px: height and width of the square input.
        folded: count the network without BatchNormalization, which is what ships.
    Raises:
        AttributeError: the function uses a layer that is not counted here; names the layer.
    """
    tally = _Tally()
    features = build(_Counting, _Map(tally, input_size_px, input_size_px, 3), folded=folded)
    return Anatomy(tally.parameters, tally.multiply_adds, features.field_px, features.channels, features.stride_px)


def convolved(size_px: int, kernel: int, stride: int, padding: str) -> int:
    """How many places a convolution or a pooling window gives along one side."""
    return math.ceil(size_px / stride) if padding == "same" else (size_px - kernel) // stride + 1


@dataclass
class _Tally:
    parameters: int = 0
    multiply_adds: int = 0


@dataclass(frozen=True)
class _Map:
    """What stands for a tensor [batch, height, width, channels]: its shape, and what one place of it sees."""

    tally: _Tally
    height: int
    width: int
    channels: int
    field_px: int = 1
    stride_px: int = 1

    @property
    def shape(self) -> tuple[None, int, int, int]:
        return None, self.height, self.width, self.channels

    def windowed(self, kernel: tuple[int, int], stride: tuple[int, int], padding: str) -> _Map:
        """The map that a sliding window gives, with as many channels."""
        return replace(
            self,
            height=convolved(self.height, kernel[0], stride[0], padding),
            width=convolved(self.width, kernel[1], stride[1], padding),
            field_px=self.field_px + (max(kernel) - 1) * self.stride_px,
            stride_px=self.stride_px * max(stride),
        )

    def weighed(self, kernel_weights: int, bias_weights: int) -> _Map:
        """Count a convolution whose result this is."""
        self.tally.parameters += kernel_weights + bias_weights
        self.tally.multiply_adds += kernel_weights * self.height * self.width
        return self


Apply = Callable[[Any], _Map]


def _conv(filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", **options: Any) -> Apply:
    def apply(x: _Map) -> _Map:
        kernel = _pair(kernel_size)
        y = replace(x.windowed(kernel, _pair(strides), padding), channels=filters)
        return y.weighed(math.prod(kernel) * x.channels * filters, filters * options.get("use_bias", True))

    return apply


def _depthwise(kernel_size: Any, strides: Any = 1, padding: str = "valid", **options: Any) -> Apply:
    def apply(x: _Map) -> _Map:
        kernel = _pair(kernel_size)
        y = x.windowed(kernel, _pair(strides), padding)
        return y.weighed(math.prod(kernel) * x.channels, x.channels * options.get("use_bias", True))

    return apply


def _batchnorm(**_: Any) -> Apply:
    def apply(x: _Map) -> _Map:
        x.tally.parameters += 4 * x.channels
        return x

    return apply


def _pooling(pool_size: Any = 2, strides: Any = None, padding: str = "valid", **_: Any) -> Apply:
    return lambda x: x.windowed(_pair(pool_size), _pair(strides or pool_size), padding)


def _zero_padding(padding: Any = 1, **_: Any) -> Apply:
    rows, columns = (sum(_pair(side)) for side in _pair(padding))
    return lambda x: replace(x, height=x.height + rows, width=x.width + columns)


def _global_average(**_: Any) -> Apply:
    # sees nothing of its own, so that the map that it is multiplied with decides about the receptive field
    return lambda x: _Map(x.tally, 1, 1, x.channels, field_px=0, stride_px=0)


def _merged(**_: Any) -> Apply:
    def apply(maps: list[_Map]) -> _Map:
        field_px, stride_px = max(x.field_px for x in maps), max(x.stride_px for x in maps)
        return replace(max(maps, key=lambda x: x.height), field_px=field_px, stride_px=stride_px)

    return apply


def _unchanged(*_: Any, **__: Any) -> Apply:
    return lambda x: x


class _Layer:
    """Base of a layer class that a family defines for itself; such a layer works on each value alone."""

    def __init__(self, **_: Any) -> None:
        pass

    def __call__(self, x: _Map) -> _Map:
        return x


class _Counting:
    """A stand-in for `keras`: the layers that the families use."""

    class layers:  # noqa: N801  the name that keras gives it
        Layer = _Layer
        Conv2D = staticmethod(_conv)
        DepthwiseConv2D = staticmethod(_depthwise)
        BatchNormalization = staticmethod(_batchnorm)
        MaxPooling2D = AveragePooling2D = staticmethod(_pooling)
        ZeroPadding2D = staticmethod(_zero_padding)
        GlobalAveragePooling2D = staticmethod(_global_average)
        Add = Multiply = staticmethod(_merged)
        ReLU = Activation = Dropout = staticmethod(_unchanged)

    class saving:  # noqa: N801
        @staticmethod
        def register_keras_serializable(**_: Any) -> Callable[[type], type]:
            return lambda layer: layer


def _pair(value: Any) -> tuple[Any, Any]:
    return (value, value) if isinstance(value, int) else tuple(value)
