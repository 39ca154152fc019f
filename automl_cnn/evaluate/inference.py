"""Images of the store through a .tflite file, one at a time, as they will be once it is delivered."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.data.split_images import load_images
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import ModelFileError
from automl_cnn.litert import LiteCopies, LiteModel
from automl_cnn.progress import Progress, silent
from automl_cnn.tflite_features import with_features


def predict_rows(
    model: Path,
    store: ImageStore,
    rows: NDArray[np.int64],
    input_size_px: int,
    n_classes: int,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Run stored images through a .tflite file on all cores.

    Args:
        model: the file; uint8 [1, S, S, 3] RGB in, probabilities [1, classes] out.
        store: decoded images.
        rows: int64 [n], rows of the store.
        input_size_px: S.
        n_classes: columns that are expected.
        progress: told after every block of images.
    Returns:
        Probabilities as the file gives them, float32 [n, classes].
    Raises:
        ModelFileError: the file is missing, damaged, or of another input or output shape.
    """
    interpreter = LiteCopies(model, threads=available_cpus())
    _check_shapes(model, interpreter, input_size_px, n_classes)
    read = partial(load_images, store, input_size_px=input_size_px)
    return interpreter.run_rows(read, rows, f"test images through {model.name}", progress)[0]


def examine_rows(
    model: Path,
    store: ImageStore,
    rows: NDArray[np.int64],
    input_size_px: int,
    n_classes: int,
    progress: Progress = silent,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `predict_rows`, with the features behind every answer: float32 [n, classes] and [n, d]."""
    LiteModel(model)  # damage is told of the file itself
    interpreter = LiteCopies(with_features(model.read_bytes()), threads=available_cpus(), outputs=2)
    _check_shapes(model, interpreter, input_size_px, n_classes)
    read = partial(load_images, store, input_size_px=input_size_px)
    given, features = interpreter.run_rows(read, rows, f"test images through {model.name}", progress)
    return given, features.reshape(len(rows), -1)


def _check_shapes(model: Path, interpreter: LiteCopies, input_size_px: int, n_classes: int) -> None:
    expected = (1, input_size_px, input_size_px, 3)
    if interpreter.input_shape != expected or interpreter.input_dtype != np.uint8:
        raise ModelFileError(
            str(model),
            expected=f"uint8 input of shape {expected}, as preprocessing.json says",
            received=f"{interpreter.input_dtype} {interpreter.input_shape}",
            action="Run the quantize stage again.",
        )
    if interpreter.output_shape != (1, n_classes):
        raise ModelFileError(
            str(model),
            expected=f"{n_classes} probabilities, one a line of labels.txt",
            received=" × ".join(str(size) for size in interpreter.output_shape[1:]),
            action="Run the quantize stage again.",
        )
