"""Count a Keras model: parameters, multiply-adds, receptive field. `automl_cnn.models` says the same without Keras."""

from __future__ import annotations

import math
from typing import Any

from automl_cnn.models.anatomy import Anatomy

WINDOWS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D", "AveragePooling2D")


def count(model: Any) -> Anatomy:
    """Count a flat functional model from pixels to a map of features, by the rules of `Anatomy`."""
    # tensor → sides of what one place sees, downwards and across, and the distance between two places
    seen = {id(model.inputs[0]): (1, 1, 1)}
    multiply_adds = 0
    for operation in model.operations:
        kind = type(operation).__name__
        if kind == "InputLayer":
            continue
        node = operation._inbound_nodes[-1]
        (output,) = node.output_tensors
        down, across, stride_px = (max(seen[id(tensor)][part] for tensor in node.input_tensors) for part in range(3))
        if kind in WINDOWS:
            height, width = getattr(operation, "kernel_size", None) or operation.pool_size
            down, across = down + (height - 1) * stride_px, across + (width - 1) * stride_px
            stride_px *= max(operation.strides)
        seen[id(output)] = (0, 0, 0) if kind.startswith("GlobalAverage") else (down, across, stride_px)
        multiply_adds += _multiply_adds(kind, operation, output)
    down, across, stride_px = seen[id(model.outputs[0])]
    return Anatomy(model.count_params(), multiply_adds, max(down, across), model.outputs[0].shape[-1], stride_px)


def _multiply_adds(kind: str, operation: Any, output: Any) -> int:
    places = math.prod(output.shape[1:-1])
    if kind in ("Conv2D", "DepthwiseConv2D", "Dense"):
        return math.prod(operation.kernel.shape) * places
    if kind == "SeparableConv2D":
        return (math.prod(operation.depthwise_kernel.shape) + math.prod(operation.pointwise_kernel.shape)) * places
    return 0
