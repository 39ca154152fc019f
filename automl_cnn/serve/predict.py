"""Label images with a .tflite file and the two small files beside it. Numpy, Pillow and LiteRT, nothing heavier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.decode import DecodeError, decode, load_image, shrink
from automl_cnn.errors import DataError, ModelFileError
from automl_cnn.litert import LiteModel
from automl_cnn.progress import Progress, silent
from automl_cnn.tflite_metadata import COMPANIONS, LABELS, PREPROCESSING, read_files

if TYPE_CHECKING:  # pydantic would add a quarter of a second to `automl-cnn predict`
    from automl_cnn.config import Resize

_RESIZES = ("letterbox", "crop", "stretch")


@dataclass(frozen=True)
class Prediction:
    """What `automl-cnn predict --json` prints of one image; `dataclasses.asdict` gives that object.

    Attributes:
        path: as it was given.
        label: the most probable class; the first in labels.txt of several equal ones.
        probability: of that label, 0…1.
        probabilities: class → probability, in the order of labels.txt; of an int8 file in steps of 1/256.
    """

    path: str
    label: str
    probability: float
    probabilities: dict[str, float]


class Predictor:
    """A classifier that does its own preprocessing, the same as the pipeline's.

    Args:
        model: the .tflite file; labels.txt and preprocessing.json lie beside it or are in its metadata.
        threads: CPU threads.
    Raises:
        ModelFileError: one of the three files is missing or damaged, or they do not belong together.
    """

    def __init__(self, model: Path, threads: int = 1) -> None:
        self._model = LiteModel(model, threads=threads)
        self._preprocessing = _read_preprocessing(model)
        self.labels = tuple(_companion(model, LABELS).splitlines())
        size_px = self._preprocessing.input_size_px
        if self._model.input_shape != (1, size_px, size_px, 3) or self._model.input_dtype != np.uint8:
            raise ModelFileError(
                str(model),
                expected=f"uint8 input of shape (1, {size_px}, {size_px}, 3), as preprocessing.json says",
                received=f"{self._model.input_dtype} {self._model.input_shape}",
                action="Keep the files of artifacts/quantized/ together.",
            )
        outputs = self._model.run(np.zeros(self._model.input_shape, dtype=np.uint8)).size
        if outputs != len(self.labels):
            raise ModelFileError(
                str(model.with_name("labels.txt")),
                expected=f"{outputs} lines, one a class of {model.name}",
                received=f"{len(self.labels)}",
                action="Keep the files of artifacts/quantized/ together.",
            )

    def predict(self, paths: Sequence[Path], progress: Progress = silent) -> list[Prediction]:
        """Label image files.

        Args:
            paths: the files, in the order of the answer.
            progress: told after each.
        Raises:
            DataError: one of them is missing or no image; names it.
        """
        predictions = []
        how = self._preprocessing
        for i, path in enumerate(paths):
            pixels = load_image(path, how.working_size_px, how.resize, how.max_megapixels)
            predictions.append(self._label(str(path), pixels))
            progress("images", i + 1, len(paths))
        return predictions

    def predict_bytes(self, content: bytes, name: str = "image") -> Prediction:
        """Label one image file given as its bytes.

        Args:
            content: a whole JPEG, PNG or other image file.
            name: what the prediction and an error call it.
        Raises:
            DataError: the bytes are no image.
        """
        how = self._preprocessing
        try:
            decoded = decode(content, how.working_size_px, how.resize, how.max_megapixels)
        except DecodeError as error:
            raise DataError(
                name,
                expected="the bytes of an image file",
                received=f"{error.status}: {error.reason}",
                action="Send a whole JPEG or PNG file.",
            ) from None
        return self._label(name, decoded.pixels)

    def _label(self, path: str, pixels: NDArray[np.uint8]) -> Prediction:
        """Run one picture, uint8 [working size, working size, 3]."""
        given = self._model.run(shrink(pixels, self._preprocessing.input_size_px)[None]).ravel()  # (classes,)
        best = int(given.argmax())
        probabilities = dict(zip(self.labels, given.tolist(), strict=True))
        return Prediction(path, self.labels[best], float(given[best]), probabilities)


@dataclass(frozen=True)
class _Preprocessing:
    working_size_px: int
    input_size_px: int
    resize: Resize
    max_megapixels: float


def _read_preprocessing(model: Path) -> _Preprocessing:
    text, path = _companion(model, PREPROCESSING), model.with_name(PREPROCESSING)
    try:
        raw = json.loads(text)
        how = _Preprocessing(
            int(raw["working_size_px"]), int(raw["input_size_px"]), raw["resize"], float(raw["max_megapixels"])
        )
    except (ValueError, KeyError, TypeError) as error:
        received = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise _not_preprocessing(path, received) from None
    if how.resize not in _RESIZES:
        raise _not_preprocessing(path, f"resize {how.resize!r}")
    return how


def _not_preprocessing(path: Path, received: str) -> ModelFileError:
    return ModelFileError(
        str(path),
        expected="working_size_px, input_size_px, resize and max_megapixels as JSON",
        received=received,
        action="Copy it again from artifacts/quantized/.",
    )


def _companion(model: Path, name: str) -> str:
    """A companion file beside the model, or the copy that the model itself carries."""
    path = model.with_name(name)
    try:
        if not path.exists() and (carried := read_files(model.read_bytes()).get(name)) is not None:
            return carried
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        received = "none there" if isinstance(error, FileNotFoundError) else str(error)
        raise ModelFileError(
            str(path),
            expected=f"{path.name} inside the .tflite file or beside it",
            received=received,
            action=f"Copy {' and '.join(COMPANIONS)} from artifacts/quantized/ as well.",
        ) from None
