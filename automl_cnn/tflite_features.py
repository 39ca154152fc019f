"""The features of a classifier's file: the input of its head as a second output, from the same weights in the same run.

What is watched and compared after delivery then comes from the very file that answers, at no cost.
"""

from __future__ import annotations

import math
from typing import Any

from automl_cnn.errors import ModelFileError
from automl_cnn.tflite_file import read_model, schema, write_model


def with_features(content: bytes) -> bytes:
    """Give a classifier's file a second output.

    Args:
        content: a .tflite file with one input, a picture, and one output, probabilities behind a fully connected head.
    Returns:
        The same network; its second output is what the first fully connected layer of the head receives, [1, d], in
        the file's own dtype. Metadata that describe the outputs, and files behind the FlatBuffer, are left out.
    Raises:
        ModelFileError: no fully connected layer stands between the last feature map and the output.
    """
    model = read_model(content)
    graph = model.subgraphs[0]
    graph.outputs = [int(graph.outputs[0]), _head_input(model)]
    model.metadata = model.signatureDefs = None  # both describe the outputs that there were
    return write_model(model)


def _head_input(model: Any) -> int:
    """Index of the tensor that the head receives: from the output back to the last feature map."""
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    maker = {int(made): operator for operator in graph.operators for made in operator.outputs}
    tensor, found = int(graph.outputs[0]), None
    while (operator := maker.get(tensor)) is not None and not _is_map(graph.tensors[tensor]):
        tensor = next(int(each) for each in operator.inputs if int(each) in maker or int(each) in graph.inputs)
        if codes[operator.opcodeIndex] == schema().BuiltinOperator.FULLY_CONNECTED:
            found = tensor
    if found is None:
        raise ModelFileError(
            "model", expected="a classifier whose head is fully connected", received="another graph",
            action="Give the .tflite file that automl-cnn made.",
        )  # fmt: skip
    return found


def _is_map(tensor: Any) -> bool:
    """Whether a tensor has a height and a width: [1, H, W, C] of more than one place."""
    return len(tensor.shape) == 4 and math.prod(int(side) for side in tensor.shape[1:3]) > 1
