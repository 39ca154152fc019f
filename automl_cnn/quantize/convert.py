"""From tf_keras models to .tflite files that all take uint8 [1, H, W, 3] RGB in 0…255 and give probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import QuantizeError
from automl_cnn.quiet import native_messages_dropped


def convert_float32(twin: Any) -> bytes:
    """The float network; the cast from uint8 is in the graph.

    Args:
        twin: the folded tf_keras network.
    Returns:
        A .tflite file with float32 [1, classes] probabilities out.
    Raises:
        QuantizeError: the converter refuses.
    """
    return _convert("float32", _uint8_converter(twin))


def convert_float16(twin: Any) -> bytes:
    """As `convert_float32` with weights kept as float16: half the size, the same arithmetic."""
    import tensorflow as tf

    converter = _uint8_converter(twin)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _convert("float16", converter)


def convert_float32_input(twin: Any) -> bytes:
    """As `convert_float32` with float32 [1, H, W, 3] in: what another quantizer starts from."""
    import tensorflow as tf

    return _convert("float32", _converter(twin, tf.float32, lambda image: twin(image, training=False)))


def convert_ptq_int8(twin: Any, images: NDArray[np.uint8]) -> bytes:
    """Static post-training quantization: the plain rival of quantization-aware training.

    Args:
        twin: the folded tf_keras network.
        images: uint8 RGB [n, H, W, 3] from which the converter takes the ranges.
    Returns:
        A .tflite file with uint8 [1, classes] out.
    Raises:
        QuantizeError: the converter refuses.
    """
    import tensorflow as tf

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for image in _spanning_input_range(images):
            yield [image[None].astype(np.float32)]

    converter = _int8_converter(twin)
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return _convert("ptq_int8", converter)


def convert_qat_int8(simulated: Any) -> bytes:
    """Write what was simulated: all ranges are in the graph, no representative images are needed.

    Args:
        simulated: from `scheme.simulate_int8`, trained or not.
    Returns:
        A .tflite file with uint8 [1, classes] out.
    Raises:
        QuantizeError: the converter refuses.
    """
    return _convert("qat_int8", _int8_converter(simulated))


def convert_float_head(simulated: Any) -> bytes:
    """As `convert_qat_int8` for a simulation whose head stays float32: probabilities come out unrounded.

    Args:
        simulated: from `scheme.simulate_int8` with float_head.
    Returns:
        A .tflite file with uint8 in and float32 [1, classes] out.
    Raises:
        QuantizeError: the converter refuses.
    """
    import tensorflow as tf

    converter = _int8_converter(simulated)
    converter.inference_output_type = tf.float32
    return _convert("qat_float_head", converter)


def convert_weight_only(twin: Any) -> bytes:
    """Weights as int8, arithmetic in float32: for networks that do not survive int8 activations.

    Args:
        twin: the folded tf_keras network.
    Returns:
        A .tflite file with float32 [1, classes] out.
    Raises:
        QuantizeError: the converter refuses.
    """
    import tensorflow as tf

    converter = _uint8_converter(twin)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _convert("weight_only_int8", converter)


def _uint8_converter(model: Any) -> Any:
    import tensorflow as tf

    return _converter(model, tf.uint8, lambda image: model(tf.cast(image, tf.float32), training=False))


def _int8_converter(model: Any) -> Any:
    import tensorflow as tf

    converter = _converter(model, tf.float32, lambda image: model(image, training=False))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return converter


def _converter(model: Any, dtype: Any, call: Callable[[Any], Any]) -> Any:
    """A converter for one image at a time: a fixed shape is what every delegate can plan for."""
    import tensorflow as tf

    signature = tf.TensorSpec((1, *model.inputs[0].shape[1:]), dtype, name="image")
    function = tf.function(call, input_signature=[signature], autograph=False)
    # Named alone, the function is frozen into constants; beside the model it would go by way of a SavedModel, which
    # takes two to three times as long for the same network. It has no signature: see `tflite_file.name_ends`.
    return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])


def _convert(rung: str, converter: Any) -> bytes:
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        with warnings.catch_warnings(), native_messages_dropped():
            warnings.simplefilter("ignore")  # "Statistics for quantized inputs were expected": they are in the graph
            return bytes(converter.convert())
    except (ConverterError, RuntimeError, ValueError, TypeError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise QuantizeError(
            f"rung {rung}", expected="a network that TFLite can express", received=first,
            action="Use another backbone, or report this with the line above.",
        ) from error  # fmt: skip


def _spanning_input_range(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make two pixels of the first image black and white: input and `normalize` then step by one grey level exactly."""
    spanning = images.copy()
    spanning[0, 0, 0], spanning[0, 0, 1] = 0, 255
    return spanning
