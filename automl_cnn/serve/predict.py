"""Label images with a .tflite file and the small files beside it. Numpy, Pillow and LiteRT, nothing heavier."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.decode import DecodedImage, DecodeError, decode, decode_file, shrink
from automl_cnn.errors import DataError, ModelFileError
from automl_cnn.litert import LiteModel
from automl_cnn.progress import Progress, silent
from automl_cnn.reference.record import REFERENCE, Reference
from automl_cnn.reference.statistics import image_statistics
from automl_cnn.tflite_features import with_features
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
        abstain: the probability is too low for the precision that reference.npz names; None where none lies beside the
            model.
        ood_score: how unlike the training images this one is, 0…2; None as above.
        out_of_distribution: ood_score is above the threshold of reference.npz; None as above.
    """

    path: str
    label: str
    probability: float
    probabilities: dict[str, float]
    abstain: bool | None = None
    ood_score: float | None = None
    out_of_distribution: bool | None = None


@dataclass(frozen=True)
class Examined:
    """A prediction and what monitoring keeps of its image.

    Attributes:
        prediction: as `predict` gives it.
        sketch: float32 [k], the image's features made short; empty where no reference.npz lies beside the model.
        statistics: one number for each of `reference.statistics.STATISTICS`.
    """

    prediction: Prediction
    sketch: NDArray[np.float32]
    statistics: list[float]


class Predictor:
    """A classifier that does its own preprocessing, the same as the pipeline's.

    Args:
        model: the .tflite file; labels.txt and preprocessing.json lie beside it or are in its metadata. Where
            reference.npz lies beside it too, doubtful answers and strange images are marked.
        threads: CPU threads.
        max_megapixels: images above it are refused; preprocessing.json's limit where that is lower.
    Attributes:
        labels: names of the classes, in the order of the probabilities.
        reference: what lies beside the model, or None.
        model_sha256: digest of the .tflite file, hex.
    Raises:
        ModelFileError: one of the files is missing or damaged, or they do not belong together.
    """

    def __init__(self, model: Path, threads: int = 1, max_megapixels: float = math.inf) -> None:
        self._model = LiteModel(model, threads)
        content = model.read_bytes()
        self.model_sha256 = hashlib.sha256(content).hexdigest()
        self.reference = _read_reference(model, self.model_sha256)
        if self.reference:
            self._model = LiteModel(with_features(content), threads, outputs=2)
        how = _read_preprocessing(model)
        self._preprocessing = replace(how, max_megapixels=min(how.max_megapixels, max_megapixels))
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
        for i, path in enumerate(paths):
            predictions.append(self._label(str(path), self._read(path))[0])
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
        return self._label(name, self._decode(content, name))[0]

    def examine(self, path: Path) -> Examined:
        """As `predict` for one file, with what monitoring keeps of the image."""
        return self._examine(str(path), self._read(path))

    def examine_bytes(self, content: bytes, name: str = "image") -> Examined:
        """As `predict_bytes`, with what monitoring keeps of the image."""
        return self._examine(name, self._decode(content, name))

    def _examine(self, name: str, image: DecodedImage) -> Examined:
        prediction, sketch = self._label(name, image)
        statistics = image_statistics(image.pixels, image.width, image.height, self._preprocessing.resize)
        return Examined(prediction, sketch, statistics)

    def _read(self, path: Path) -> DecodedImage:
        how = self._preprocessing
        return decode_file(path, how.working_size_px, how.resize, how.max_megapixels)

    def _decode(self, content: bytes, name: str) -> DecodedImage:
        how = self._preprocessing
        try:
            return decode(content, how.working_size_px, how.resize, how.max_megapixels, hashed=False)
        except DecodeError as error:
            raise DataError(
                name,
                expected="the bytes of an image file",
                received=f"{error.status}: {error.reason}",
                action="Send a whole JPEG or PNG file.",
            ) from None

    def _label(self, path: str, image: DecodedImage) -> tuple[Prediction, NDArray[np.float32]]:
        """The prediction of one image, and its sketch: float32 [k], empty without a reference."""
        outputs = self._model.run_outputs(shrink(image.pixels, self._preprocessing.input_size_px)[None])
        given = outputs[0].ravel()  # (classes,)
        best = int(given.argmax())
        label, probability = self.labels[best], float(given[best])
        prediction = Prediction(path, label, probability, dict(zip(self.labels, given.tolist(), strict=True)))
        if self.reference is None:
            return prediction, np.empty(0, np.float32)
        sketch = self.reference.sketcher(outputs[1].reshape(1, -1))  # (1, k)
        score = float(self.reference.ood_scores(sketch)[0])
        marked = replace(
            prediction, abstain=self.reference.abstains(label, probability), ood_score=score,
            out_of_distribution=score > self.reference.ood_threshold,
        )  # fmt: skip
        return marked, sketch[0]


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


def _read_reference(model: Path, sha256: str) -> Reference | None:
    path = model.with_name(REFERENCE)
    if not path.exists():
        return None
    reference = Reference.load(path)
    if reference.model_sha256 != sha256:
        raise ModelFileError(
            str(path), expected=f"the reference of {model.name}", received="that of another file",
            action=f"Copy both from artifacts/quantized/ again, or remove {path.name}: predictions do without it.",
        )  # fmt: skip
    return reference


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
