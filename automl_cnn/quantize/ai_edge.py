"""Post-training quantization by ai-edge-quantizer, which works on the .tflite file instead of the TensorFlow graph.

Ranges reach from the lowest to the highest value of the calibration images: its own moving average remembers the last
twenty images alone. It gives a file with int8 ends; ours take the pixels as they are, uint8, so a QUANTIZE operator is
put before and behind, as TensorFlow's converter does it.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.errors import QuantizeError
from automl_cnn.quantize.calibrate import INPUT_RANGE, normalized_range
from automl_cnn.quantize.convert import convert_float32_input
from automl_cnn.tflite_file import INPUT, SIGNATURE, name_ends, read_model, schema, write_model

REQUANTIZING = 2  # the version of QUANTIZE that takes integers
INT8_TO_UINT8 = 128


def convert_ai_edge_int8(twin: Any, images: NDArray[np.uint8]) -> bytes:
    """Quantize weights and activations to int8.

    Args:
        twin: the folded tf_keras network.
        images: uint8 RGB [n, H, W, 3] from which the ranges are taken.
    Returns:
        A .tflite file with uint8 [1, H, W, 3] in and uint8 [1, classes] out.
    Raises:
        QuantizeError: the package is not installed, or refuses the network.
    """
    try:
        from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
        from ai_edge_quantizer.utils.qsv_utils import min_max_update
    except ImportError as error:
        raise QuantizeError(
            "rung ai_edge_int8", expected="the package ai-edge-quantizer", received=str(error),
            action="Install it: pip install ai-edge-quantizer.",
        ) from None  # fmt: skip
    named = read_model(convert_float32_input(twin))
    name_ends(named)
    content = write_model(named)
    samples = [{INPUT: image[None].astype(np.float32)} for image in images]
    try:
        with _quietly():
            plan = recipe_manager.RecipeManager()
            plan.load_quantization_recipe(recipe.static_wi8_ai8())
            watching = calibrator.Calibrator(content, available_cpus(), qsv_update_func=min_max_update)
            watching.calibrate({SIGNATURE: samples}, plan)
            ranges = _exact_at_the_input(content, watching.get_model_qsvs(), twin)
            made = quantizer.Quantizer(bytearray(content), recipe.static_wi8_ai8()).quantize(
                ranges, enable_progress_report=False
            )
    except (RuntimeError, ValueError, KeyError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise QuantizeError(
            "rung ai_edge_int8", expected="a network that ai-edge-quantizer can express", received=first,
            action="Use another backbone, or report this with the line above.",
        ) from error  # fmt: skip
    return with_uint8_ends(bytes(made.quantized_model))


def with_uint8_ends(content: bytes) -> bytes:
    """Give a file with int8 input and output uint8 ones of the same scale.

    Args:
        content: a .tflite file with one graph, one input and one output, both int8.
    """
    model = read_model(content)
    (graph,) = model.subgraphs
    code = _quantize_operator(model)
    (entry,), (leaving,) = graph.inputs, graph.outputs
    new_entry, new_exit = _uint8_twin(graph, entry), _uint8_twin(graph, leaving)
    graph.operators = [_operator(code, new_entry, entry), *graph.operators, _operator(code, leaving, new_exit)]
    graph.inputs, graph.outputs = [new_entry], [new_exit]
    name_ends(model)
    return write_model(model)


def _exact_at_the_input(content: bytes, ranges: dict[str, Any], twin: Any) -> dict[str, Any]:
    """The same ranges with those of pixels and normalized pixels as they are by definition: a step is a grey level."""
    (graph,) = read_model(content).subgraphs
    (first,) = (operator for operator in graph.operators if graph.inputs[0] in list(operator.inputs))
    exact = {graph.inputs[0]: INPUT_RANGE, first.outputs[0]: normalized_range(twin)}
    names = {graph.tensors[index].name.decode(): limits for index, limits in exact.items()}
    return {
        name: {**found, "min": _like(found["min"], names[name][0]), "max": _like(found["max"], names[name][1])}
        if name in names
        else found
        for name, found in ranges.items()
    }


def _like(array: Any, value: float) -> Any:
    return np.full_like(array, value)


def _uint8_twin(graph: Any, index: int) -> int:
    """A uint8 tensor of the same numbers as an int8 one; its index."""
    tensor = copy.copy(graph.tensors[index])
    tensor.quantization = copy.copy(tensor.quantization)
    tensor.quantization.zeroPoint = [int(zero) + INT8_TO_UINT8 for zero in tensor.quantization.zeroPoint]
    tensor.type, tensor.name = schema().TensorType.UINT8, tensor.name + b"_uint8"
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _quantize_operator(model: Any) -> int:
    code = schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.QUANTIZE
    code.version = REQUANTIZING
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _operator(code: int, source: int, target: int) -> Any:
    operator = schema().OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [source], [target]
    return operator


@contextlib.contextmanager
def _quietly() -> Any:
    """The package draws bars of its own and warns of the mode that it chooses."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
