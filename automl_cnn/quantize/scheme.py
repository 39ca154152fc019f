"""How int8 arithmetic is simulated: a tfmot scheme that quantizes what TFLite quantizes, in the same ranges.

It differs from the library's default in four ways, each of which cost accuracy or made simulation and file disagree:
activations keep the ranges that calibration found; depthwise kernels have a scale a channel; kernels of layers whose
ReLU is a layer of its own are quantized too; the input is 0…255 with scale 1 and zero point 0. What stays different:
the file rounds biases to int32 and the simulation does not, so single outputs can differ by a step.

Source: Jacob et al. 2018 (arXiv 1712.05877); TFLite 8-bit quantization specification.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_transforms
from tensorflow_model_optimization.python.core.quantization.keras.graph_transformations import model_transformer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_config import QuantizeConfig
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layout_transform import (
    QuantizeLayoutTransform,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_registry import QuantizeRegistry
from tensorflow_model_optimization.python.core.quantization.keras.quantize_scheme import QuantizeScheme
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import FixedQuantizer, Quantizer

from automl_cnn.errors import QuantizeError
from automl_cnn.models.classifier import POOLED, is_head
from automl_cnn.quantize.calibrate import INPUT_RANGE, Ranges
from automl_cnn.quantize.qat import WRAPPER_PREFIX

KERNELS = {"Conv2D": "kernel", "DepthwiseConv2D": "depthwise_kernel", "Dense": "kernel"}
QUANTIZED_OUTPUTS = ("ReLU", "Add", "Multiply", "Activation", "GlobalAveragePooling2D")
FUSING = (*KERNELS, "Add", "WithConstant")  # a ReLU behind one of these becomes part of it, and rounds for both
SIGMOID_RANGE = (0.0, 255 / 256)  # the only one that LiteRT's int8 sigmoid knows: steps of 1/256 from 0


def simulate_int8(twin: Any, ranges: Ranges, *, float_head: bool = False) -> Any:
    """Wrap every layer of a folded network so that it computes as its int8 file will.

    Args:
        twin: the folded tf_keras network; it is left as it is.
        ranges: of every layer's output, from `calibrate.observe_ranges`.
        float_head: leave what comes after the pooling in float32.
    Returns:
        A trainable tf_keras model of the same input and output; layer x is called quant_x.
    Raises:
        QuantizeError: the library cannot wrap the network.
    """
    try:
        annotated = tfmot.quantization.keras.quantize_annotate_model(twin)
        model = tfmot.quantization.keras.quantize_apply(
            annotated, scheme=_Scheme(ranges, float_head), quantized_layer_name_prefix=WRAPPER_PREFIX
        )
    except (RuntimeError, ValueError) as error:
        raise QuantizeError(
            "simulation of int8", expected="a flat network of convolutions, ReLU, Add, pooling and Dense",
            received=str(error), action="Use one of the backbones in search.backbones.",
        ) from error  # fmt: skip
    (image,) = (layer for layer in model.layers if isinstance(layer, QuantizeLayer))
    image.quantizer_vars["min_var"].assign(INPUT_RANGE[0])
    image.quantizer_vars["max_var"].assign(INPUT_RANGE[1])
    return model


class KernelQuantizer(Quantizer):  # type: ignore[misc]
    """Symmetric narrow 8-bit weights whose range always is that of the weights as they stand.

    Args:
        axis: axis that has a scale an entry: −1 for Conv2D, −2 for DepthwiseConv2D; None for one scale.
    """

    def __init__(self, axis: int | None) -> None:
        self.axis = axis

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """No variables: the range is computed from the weights."""
        return {}

    def __call__(self, inputs: Any, training: Any, weights: Any, **_: Any) -> Any:
        """Round the kernel to its grid; gradients pass straight through."""
        if self.axis is None:
            high = tf.reduce_max(tf.abs(inputs))
            return tf.quantization.fake_quant_with_min_max_vars(inputs, -high, high, narrow_range=True)
        # the op knows the last axis alone; a depthwise kernel [h, w, channels, 1] is squeezed for it
        kernel = inputs if self.axis == -1 else tf.squeeze(inputs, -1)
        high = tf.reduce_max(tf.abs(kernel), axis=list(range(len(kernel.shape) - 1)))
        rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -high, high, narrow_range=True)
        return tf.reshape(rounded, inputs.shape)

    def get_config(self) -> dict[str, Any]:
        """What rebuilds it."""
        return {"axis": self.axis}


class LayerConfig(QuantizeConfig):  # type: ignore[misc]
    """What of one layer is quantized.

    Args:
        kernel: attribute that holds its kernel, None without one.
        axis: see KernelQuantizer.
        output: range of its output; None where the layer after it does the rounding, as a fused ReLU does.
    """

    def __init__(self, kernel: str | None, axis: int | None, output: tuple[float, float] | None) -> None:
        self.kernel, self.axis, self.output = kernel, axis, output

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """The kernel alone; a bias is int32 in the file and loses nothing."""
        return [(getattr(layer, self.kernel), KernelQuantizer(self.axis))] if self.kernel else []

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """None: rounding after the layer is the same and simpler."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Let the layer compute with the rounded kernel."""
        if self.kernel:
            setattr(layer, self.kernel, quantize_weights[0])

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """There are none to set."""
        return

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """A range that never moves."""
        if self.output is None:
            return []
        low, high = self.output
        return [FixedQuantizer(8, low, high, narrow_range=False)]

    def get_config(self) -> dict[str, Any]:
        """What rebuilds it."""
        return {"kernel": self.kernel, "axis": self.axis, "output": self.output}


class _Scheme(QuantizeScheme):  # type: ignore[misc]
    def __init__(self, ranges: Ranges, float_head: bool) -> None:
        self.ranges, self.float_head = ranges, float_head

    def get_layout_transformer(self) -> Any:
        return _QuantizedInput()

    def get_quantize_registry(self) -> Any:
        return _Registry(self.ranges, self.float_head)


class _QuantizedInput(QuantizeLayoutTransform):  # type: ignore[misc]
    """Put the rounding of the input behind the input layer; nothing else moves, BatchNormalization is gone already."""

    def apply(self, model: Any, layer_quantize_map: dict[str, Any]) -> Any:
        return model_transformer.ModelTransformer(
            model, [default_8bit_transforms.InputLayerQuantize()], set(layer_quantize_map), layer_quantize_map
        ).transform()  # fmt: skip


class _Registry(QuantizeRegistry):  # type: ignore[misc]
    def __init__(self, ranges: Ranges, float_head: bool) -> None:
        self.ranges, self.float_head = ranges, float_head

    def supports(self, layer: Any) -> bool:
        return True

    def get_quantize_config(self, layer: Any) -> LayerConfig:
        kind = type(layer).__name__
        if self.float_head and is_head(layer.name) and layer.name != POOLED:  # the features are int8 still
            return LayerConfig(None, None, None)
        kernel = KERNELS.get(kind)
        axis = {"Conv2D": -1, "DepthwiseConv2D": -2}.get(kind)
        rounds = kind in (*FUSING, *QUANTIZED_OUTPUTS) and not (kind in FUSING and _feeds_relu(layer))
        output = SIGMOID_RANGE if _is_sigmoid(layer) else self.ranges[layer.name]
        return LayerConfig(kernel, axis, output if rounds else None)


def _is_sigmoid(layer: Any) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "") == "sigmoid"


def _feeds_relu(layer: Any) -> bool:
    nodes = layer.outbound_nodes
    return len(nodes) == 1 and isinstance(nodes[0].outbound_layer, tf_keras.layers.ReLU)
