"""The building blocks that all families share, for any Keras namespace.

Every layer is plain, so that tf_keras and tfmot take the network as they take it from Keras 3, and every activation is
a layer of its own, because that is where int8 rounds. A convolution called x_conv is followed by x_bn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

BATCHNORM_EPSILON = 1e-3  # of EfficientNet and of all MobileNets; what differs says so in its Backbone


@dataclass(frozen=True)
class Layers:
    """Adds layers to a functional graph.

    Attributes:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        folded: leave BatchNormalization out and give the convolutions a bias instead.
        epsilon: of BatchNormalization.
    """

    keras: Any
    folded: bool = False
    epsilon: float = BATCHNORM_EPSILON

    def conv(
        self,
        x: Any,
        channels: int,
        kernel: int,
        stride: int,
        name: str,
        *,
        activation: str | None = "relu6",
        padding: str = "same",
    ) -> Any:
        """Convolution `<name>_conv`, normalization `<name>_bn` and an activation, of which None is the identity."""
        x = self.keras.layers.Conv2D(
            channels, kernel, stride, padding=padding, use_bias=self.folded, name=f"{name}_conv"
        )(x)
        return self.activation(self._normalized(x, name), activation, name)

    def depthwise(
        self, x: Any, kernel: int, stride: int, name: str, *, activation: str | None = "relu6", padding: str = "same"
    ) -> Any:
        """As `conv`, each channel for itself; `name` ends with _depthwise, by which its kernel's axes are known."""
        assert name.endswith("_depthwise")
        x = self.keras.layers.DepthwiseConv2D(
            kernel, stride, padding=padding, use_bias=self.folded, name=f"{name}_conv"
        )(x)
        return self.activation(self._normalized(x, name), activation, name)

    def activation(self, x: Any, kind: str | None, name: str) -> Any:
        """Apply an activation: relu, relu6, sigmoid, hard_sigmoid, swish, hard_swish, or None for the identity."""
        layers = self.keras.layers
        if kind is None:
            return x
        if kind == "relu6":
            return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x)
        if kind == "relu":
            return layers.ReLU(name=f"{name}_relu")(x)
        if kind == "sigmoid":
            return layers.Activation("sigmoid", name=f"{name}_sigmoid")(x)
        if kind == "hard_sigmoid":
            # Piece by piece: the fused operator has no int8 kernel in XNNPACK and cuts the program apart.
            constant = with_constant(self.keras)
            x = constant("add", 3.0, name=f"{name}_add3")(x)
            x = layers.ReLU(max_value=6.0, name=f"{name}_gate")(x)
            return constant("multiply", 1 / 6, name=f"{name}_sixth")(x)
        gates = {"swish": "sigmoid", "hard_swish": "hard_sigmoid"}
        return layers.Multiply(name=f"{name}_{kind}")([x, self.activation(x, gates[kind], name)])

    def squeeze_excite(
        self, x: Any, squeezed: int, name: str, *, activation: str = "relu", gate: str = "sigmoid"
    ) -> Any:
        """Weigh the channels by what is in the whole image.

        Args:
            x: symbolic [batch, h, w, channels].
            squeezed: channels between the two 1×1 convolutions `<name>_reduce_conv` and `<name>_expand_conv`, which
                have biases and no normalization.
            name: prefix of its layers, such as block3a_se.
            activation: after the first.
            gate: after the second: sigmoid or hard_sigmoid.
        Source: Hu et al. 2018.
        """
        layers = self.keras.layers
        s = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)  # [batch, 1, 1, channels]
        s = self.activation(layers.Conv2D(squeezed, 1, name=f"{name}_reduce_conv")(s), activation, f"{name}_reduce")
        s = self.activation(layers.Conv2D(x.shape[-1], 1, name=f"{name}_expand_conv")(s), gate, f"{name}_expand")
        return layers.Multiply(name=f"{name}_excite")([x, s])

    def inverted_residual(
        self,
        x: Any,
        name: str,
        *,
        expanded: int,
        kernel: int,
        stride: int,
        channels: int,
        activation: str = "relu6",
        excite: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Expand by a 1×1 convolution, filter each channel, project; with a shortcut where the shape stays.

        Args:
            x: symbolic [batch, h, w, channels in].
            name: prefix of its layers, such as block3a.
            expanded: channels between; where these are the channels that come in, nothing is expanded.
            kernel: of the depthwise convolution.
            stride: of the depthwise convolution.
            channels: out.
            activation: after the first two convolutions; there is none after the projection.
            excite: squeeze-and-excitation before the projection, if any.
        Source: Sandler et al. 2018.
        """
        shortcut = x
        if expanded != shortcut.shape[-1]:
            x = self.conv(x, expanded, 1, 1, f"{name}_expand", activation=activation)
        x = self.depthwise(x, kernel, stride, f"{name}_depthwise", activation=activation)
        if excite is not None:
            x = excite(x)
        x = self.conv(x, channels, 1, 1, f"{name}_project", activation=None)
        return self.add(x, shortcut, name) if stride == 1 and channels == shortcut.shape[-1] else x

    def add(self, x: Any, shortcut: Any, name: str) -> Any:
        """The residual sum `<name>_add`."""
        return self.keras.layers.Add(name=f"{name}_add")([x, shortcut])

    def _normalized(self, x: Any, name: str) -> Any:
        if self.folded:
            return x
        return self.keras.layers.BatchNormalization(epsilon=self.epsilon, name=f"{name}_bn")(x)


@cache
def with_constant(keras: Any) -> Any:
    """The layer class, in a Keras namespace, that does one operation between its input and a constant.

    Neither namespace has such a layer that both of them can copy: Lambda does not survive a file and Rescaling always
    multiplies as well.
    """

    @keras.saving.register_keras_serializable(package="automl_cnn")
    class WithConstant(keras.layers.Layer):  # type: ignore[misc]
        """x + value, x · value, or x to the power of value."""

        def __init__(self, operation: str, value: float, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.operation, self.value = operation, value

        def call(self, x: Any) -> Any:
            if self.operation == "add":
                return x + self.value
            return x * self.value if self.operation == "multiply" else x**self.value

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "operation": self.operation, "value": self.value}

    return WithConstant


def round_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` that is nearest, never less than 90 % of `channels`."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
