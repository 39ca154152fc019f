"""A real .tflite classifier of 1 kB, built without TensorFlow: which of red, green and blue is strongest in a picture.

uint8 [1, S, S, 3] → float → mean colour → fully connected → softmax, with uint8 probabilities in steps of 1/256 where
`quantized` is asked for. It stands in for the shipped file in tests: same interface, known answers.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

LABELS = ["red", "green", "blue"]


def colour_model(size_px: int, *, quantized: bool = False, sharpness: float = 0.05, classes: int = 3) -> bytes:
    """The file's bytes; `sharpness` is the logit of one grey level of difference."""
    weights = np.eye(classes, 3, dtype=np.float32) * sharpness
    buffers = [_buffer(b""), _buffer(np.array([1, 2], np.int32).tobytes()), _buffer(weights.tobytes())]
    tensors = [
        _tensor("image", [1, size_px, size_px, 3], schema.TensorType.UINT8),
        _tensor("float", [1, size_px, size_px, 3], schema.TensorType.FLOAT32),
        _tensor("axes", [2], schema.TensorType.INT32, buffer=1),
        _tensor("mean", [1, 3], schema.TensorType.FLOAT32),
        _tensor("weights", [classes, 3], schema.TensorType.FLOAT32, buffer=2),
        _tensor("logits", [1, classes], schema.TensorType.FLOAT32),
        _tensor("softmax", [1, classes], schema.TensorType.FLOAT32),
    ]
    dense = schema.FullyConnectedOptionsT()
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    operators = [
        _operator(0, [0], [1], schema.BuiltinOptions.CastOptions, schema.CastOptionsT()),
        _operator(1, [1, 2], [3], schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT()),
        _operator(2, [3, 4, -1], [5], schema.BuiltinOptions.FullyConnectedOptions, dense),
        _operator(3, [5], [6], schema.BuiltinOptions.SoftmaxOptions, softmax),
    ]
    names = [
        schema.BuiltinOperator.CAST,
        schema.BuiltinOperator.MEAN,
        schema.BuiltinOperator.FULLY_CONNECTED,
        schema.BuiltinOperator.SOFTMAX,
    ]
    if quantized:
        tensors.append(_tensor("steps", [1, classes], schema.TensorType.UINT8, scale=1 / 256))
        operators.append(_operator(4, [6], [7], schema.BuiltinOptions.QuantizeOptions, schema.QuantizeOptionsT()))
        names.append(schema.BuiltinOperator.QUANTIZE)
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = tensors, operators
    graph.inputs, graph.outputs = [0], [len(tensors) - 1]
    model = schema.ModelT()
    model.version, model.buffers, model.subgraphs = 3, buffers, [graph]
    model.operatorCodes = [_code(name) for name in names]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _buffer(content: bytes) -> schema.BufferT:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8) if content else None
    return buffer


def _tensor(name: str, shape: list[int], kind: int, *, buffer: int = 0, scale: float = 0.0) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), shape, kind, buffer
    if scale:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
    return tensor


def _operator(code: int, inputs: list[int], outputs: list[int], kind: int, options: object) -> schema.OperatorT:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    return operator


def _code(name: int) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = name, name, 1
    return code
