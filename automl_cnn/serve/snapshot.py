"""The model as it was when the server started: a worker that starts later must not answer with another one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from automl_cnn.errors import ModelFileError
from automl_cnn.reference.record import REFERENCE
from automl_cnn.serve.predict import Predictor
from automl_cnn.tflite_metadata import COMPANIONS

MODEL = "model.tflite"
COPIED = (*COMPANIONS, REFERENCE)


@dataclass(frozen=True)
class ServedModel:
    """A model that has been opened once and found whole.

    Attributes:
        path: of the copy.
        name: of the file that was copied.
        sha256: of the .tflite file, 64 hexadecimal digits.
        labels: classes, in the order of the probabilities.
    """

    path: Path
    name: str
    sha256: str
    labels: tuple[str, ...]


def take_snapshot(model: Path, folder: Path) -> ServedModel:
    """Copy a model and the files beside it, and open the copy.

    Args:
        model: a .tflite file, or a folder with a model.tflite such as an export.
        folder: an existing folder to copy into.
    Raises:
        ModelFileError: there is none, or it is damaged.
    """
    source = model / MODEL if model.is_dir() else model
    copy = folder / source.name
    try:
        shutil.copyfile(source, copy)
        for name in COPIED:
            if source.with_name(name).exists():
                shutil.copyfile(source.with_name(name), folder / name)
    except OSError as error:
        raise ModelFileError(
            str(source), expected="a .tflite file", received=error.strerror or str(error),
            action="Give the path of artifacts/quantized/model.tflite or of an export folder.",
        ) from None  # fmt: skip
    try:
        opened = Predictor(copy)
    except ModelFileError as error:  # about the copy, which the user has never seen
        where = error.where.replace(str(folder), str(source.parent))
        raise ModelFileError(
            where, expected=error.expected, received=error.received.replace(str(folder), str(source.parent)),
            action=error.action,
        ) from None  # fmt: skip
    return ServedModel(copy, source.name, opened.model_sha256, opened.labels)
