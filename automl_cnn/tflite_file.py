"""Open a .tflite file as objects, change it, write it again. The sole module that imports its schema."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

MODEL_ID = b"TFL3"
SIGNATURE, INPUT, OUTPUT = "serving_default", "image", "probabilities"
BUFFER_ALIGNMENT = 16  # what the schema asks of every buffer; the generated Python code alone aligns them to 1


def schema() -> Any:
    """The classes of LiteRT's schema: ModelT, TensorT, OperatorT, …"""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def read_model(content: bytes) -> Any:
    """A file as a ModelT, whose lists can be changed; weights that lie behind the FlatBuffer are taken into it."""
    model = schema().ModelT.InitFromPackedBuf(bytearray(content))
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 say that the data are where they used to be
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def write_model(model: Any) -> bytes:
    """The file of a ModelT."""
    builder = _AlignedBuilder(1024)
    builder.Finish(model.Pack(builder), MODEL_ID)
    return bytes(builder.Output())


def name_ends(model: Any) -> None:
    """Let a runtime ask for the one input and the one output of a ModelT by name."""
    (graph,) = model.subgraphs
    made = schema().SignatureDefT()
    made.signatureKey, made.subgraphIndex = SIGNATURE, 0
    made.inputs, made.outputs = [_end(INPUT, graph.inputs)], [_end(OUTPUT, graph.outputs)]
    model.signatureDefs = [made]


def _end(name: str, tensors: Any) -> Any:
    made = schema().TensorMapT()
    made.name, made.tensorIndex = name, int(tensors[0])
    return made


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns vectors of bytes, which is what the weights are, so that a runtime can read them in place."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803  the library's names
        aligned = BUFFER_ALIGNMENT if elemSize == 1 else alignment
        return int(super().StartVector(elemSize, numElems, aligned))
