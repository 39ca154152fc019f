"""Labels and preprocessing inside the .tflite file, where MediaPipe Tasks and Android's Studio look for them.

A .tflite file is a FlatBuffer. It may hold a buffer called TFLITE_METADATA, a FlatBuffer of its own that describes
input and output, and it may have a zip archive behind its last byte with the files that the description names. Both
are written here with the package flatbuffers alone.

Source: metadata_schema.fbs of TensorFlow Lite, version 1.4.1, whose field numbers stand below.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np

from automl_cnn.tflite_file import name_ends, read_model, schema, write_model

LABELS, PREPROCESSING = COMPANIONS = "labels.txt", "preprocessing.json"  # inside the file, and beside it too
BUFFER_NAME, SCHEMA_ID = "TFLITE_METADATA", b"M001"
OLDEST_PARSER = "1.0.0"
NEVER = (1980, 1, 1, 0, 0, 0)  # the date of the zip's files: the same model gives the same bytes

# numbers of enums and unions in the schema
_DESCRIPTIONS, _AXIS_LABELS = 1, 2  # AssociatedFileType
_RGB = 1  # ColorSpaceType
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES = 2, 1  # ContentProperties
_NORMALIZATION = 1  # ProcessUnitOptions


def with_metadata(content: bytes, labels: Sequence[str], preprocessing: Mapping[str, Any]) -> bytes:
    """Write what a classifier needs to be understood into its file.

    Args:
        content: a .tflite file: one image in, one probability a class out. Metadata that it has is replaced.
        labels: class names in the order of the outputs.
        preprocessing: what preprocessing.json holds; input_size_px is read.
    Returns:
        The same network with metadata and the signature `serving_default` (image in, probabilities out); labels.txt and
        preprocessing.json in the zip at its end.
    """
    model = read_model(_without_zip(content))
    described = np.frombuffer(_describe(labels, preprocessing), np.uint8)
    entry = next((entry for entry in model.metadata or [] if _text(entry.name) == BUFFER_NAME), None)
    if entry is None:
        entry = schema().MetadataT()
        entry.name, entry.buffer = BUFFER_NAME, len(model.buffers)
        model.metadata = [*(model.metadata or []), entry]
        model.buffers.append(schema().BufferT())
    model.buffers[entry.buffer].data = described
    name_ends(model)
    files = {LABELS: "\n".join(labels) + "\n", PREPROCESSING: json.dumps(dict(preprocessing), indent=2) + "\n"}
    return write_model(model) + _zip(files)


def read_files(content: bytes) -> dict[str, str]:
    """The texts in the zip behind a .tflite file, by name; none where there is no zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}
    except zipfile.BadZipFile:
        return {}


def _without_zip(content: bytes) -> bytes:
    """The FlatBuffer alone: a zip is found by its own directory, from the end."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            first = min((info.header_offset for info in archive.infolist()), default=len(content))
            return content[:first]
    except zipfile.BadZipFile:
        return content


def _zip(files: Mapping[str, str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, NEVER), text)
    return written.getvalue()


def _describe(labels: Sequence[str], preprocessing: Mapping[str, Any]) -> bytes:
    """The description, a FlatBuffer of root type ModelMetadata."""
    make = _Tables()
    size_px = int(preprocessing["input_size_px"])
    labels_file = make.file(LABELS, "class names, one a line", _AXIS_LABELS)
    how = make.file(PREPROCESSING, "how a file becomes the input", _DESCRIPTIONS)
    size = make.table(2, numbers={0: size_px, 1: size_px})
    image = make.content(_IMAGE_PROPERTIES, make.table(2, small={0: _RGB}, offsets={1: size}))
    scores = make.content(_FEATURE_PROPERTIES, make.table(0))
    # raw pixels go in: the network normalizes by itself
    identity = make.table(2, offsets={0: make.floats([0.0]), 1: make.floats([1.0])})
    unit = make.table(2, small={0: _NORMALIZATION}, offsets={1: identity})
    pixels = make.table(2, offsets={0: make.floats([255.0]), 1: make.floats([0.0])})
    shares = make.table(2, offsets={0: make.floats([1.0]), 1: make.floats([0.0])})
    image_tensor = make.table(7, offsets={
        0: make.text("image"), 1: make.text(f"RGB image, {size_px} × {size_px} pixels, 0 to 255"), 3: image,
        4: make.list([unit]), 5: pixels,
    })  # fmt: skip
    score_tensor = make.table(7, offsets={
        0: make.text("probabilities"), 1: make.text("calibrated probability of each class"), 3: scores, 5: shares,
        6: make.list([labels_file]),
    })  # fmt: skip
    graph = make.table(10, offsets={2: make.list([image_tensor]), 3: make.list([score_tensor])})
    root = make.table(8, offsets={
        0: make.text("image classifier"), 1: make.text(f"{len(labels)} classes, made by automl-cnn"),
        3: make.list([graph]), 6: make.list([how]), 7: make.text(OLDEST_PARSER),
    })  # fmt: skip
    return make.finish(root)


class _Tables:
    """FlatBuffer tables by the numbers of their fields; every method gives the place of what it wrote."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    def table(
        self,
        fields: int,
        offsets: Mapping[int, int] | None = None,
        small: Mapping[int, int] | None = None,
        numbers: Mapping[int, int] | None = None,
    ) -> int:
        """A table of so many fields: places of other things, bytes (enums, types of unions), unsigned numbers."""
        self._builder.StartObject(fields)
        for field, place in (offsets or {}).items():
            self._builder.PrependUOffsetTRelativeSlot(field, place, 0)
        for field, number in (numbers or {}).items():
            self._builder.PrependUint32Slot(field, number, 0)
        for field, number in (small or {}).items():
            self._builder.PrependUint8Slot(field, number, 0)
        return int(self._builder.EndObject())

    def content(self, kind: int, properties: int) -> int:
        """Content, a union of properties."""
        return self.table(3, small={0: kind}, offsets={1: properties})

    def file(self, name: str, description: str, kind: int) -> int:
        """AssociatedFile."""
        return self.table(5, offsets={0: self.text(name), 1: self.text(description)}, small={2: kind})

    def text(self, text: str) -> int:
        return int(self._builder.CreateString(text))

    def floats(self, values: Sequence[float]) -> int:
        return int(self._builder.CreateNumpyVector(np.array(values, np.float32)))

    def list(self, places: Sequence[int]) -> int:
        """A vector of tables."""
        self._builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            self._builder.PrependUOffsetTRelative(place)
        return int(self._builder.EndVector())

    def finish(self, root: int) -> bytes:
        self._builder.Finish(root, SCHEMA_ID)
        return bytes(self._builder.Output())


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
