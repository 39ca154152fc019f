"""Replay the golden images of an export in every runtime that is installed here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import read_json
from automl_cnn.errors import ArtifactError, ExportError
from automl_cnn.export.formats import FORMATS, LISTING
from automl_cnn.export.golden import FLOAT, SHIPPED, Golden, read_golden
from automl_cnn.progress import Progress, silent
from automl_cnn.quiet import import_quietly, native_messages_dropped
from automl_cnn.tflite_metadata import COMPANIONS, LABELS, read_files

FLOAT_TOLERANCE = 1e-4
# int8 probabilities come in steps of 1/256, and kernels of other processors may round one layer's tie the other way
INT8_TOLERANCE = 2.5 / 256

Images = NDArray[np.uint8]
Answers = NDArray[np.float32]


@dataclass(frozen=True)
class Runtime:
    """Something that can run one format.

    Attributes:
        package: on the package index; its version is told.
        format: name in FORMATS.
        run: (file, images uint8 [n, H, W, 3], class names) → probabilities [n, classes].
    """

    package: str
    format: str
    run: Callable[[Path, Images, Sequence[str]], Answers]


@dataclass(frozen=True)
class Check:
    """What one runtime made of one file.

    Attributes:
        file: in the export.
        runtime: package and version.
        images: that were replayed; 0 where nothing was run.
        difference: largest of a probability; NaN where nothing was run.
        tolerance: that it is held against; NaN where nothing was run.
        same_class: images whose most probable class is the expected one.
        message: why nothing was run, else empty.
        fault: what is wrong with the file beside its answers, else empty.
    """

    file: str
    runtime: str
    images: int = 0
    difference: float = float("nan")
    tolerance: float = float("nan")
    same_class: int = 0
    message: str = ""
    fault: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the file is whole and its answers the expected ones; None where its runtime is not installed."""
        return None if self.message else not self.fault and self.difference <= self.tolerance


def verify_export(folder: Path, progress: Progress = silent) -> list[Check]:
    """Replay the golden images.

    Args:
        folder: that `write_export` wrote.
        progress: told of every runtime.
    Returns:
        One check for every file and runtime that could run it, whether that is installed or not. A damaged file, and
        one that export.json names and that is not there, are checks that did not pass.
    Raises:
        ExportError: there are no golden images or no file to check.
    """
    golden = read_golden(folder)
    due = [each for each in RUNTIMES if (folder / FORMATS[each.format].file).exists()]
    if not due:
        raise ExportError(
            str(folder), expected=f"one of {', '.join(each.file for each in FORMATS.values())}", received="none",
            action="Give the folder that `automl-cnn export` wrote.",
        )  # fmt: skip
    checks = [Check(name, LISTING, fault="it is not there") for name in _listed(folder) if not (folder / name).exists()]
    for done, runtime in enumerate(due):
        progress("runtimes", done, len(due), runtime.package)
        checks.append(_check(folder, runtime, golden))
    progress("runtimes", len(due), len(due))
    return checks


def _listed(folder: Path) -> list[str]:
    """Files that the export is said to hold; none where export.json itself is lost."""
    if not (folder / LISTING).exists():
        return []
    try:
        return [str(entry["file"]) for entry in read_json(folder / LISTING)["files"]]
    except (ArtifactError, KeyError, TypeError):
        raise ExportError(
            str(folder / LISTING), expected="the list of exported files", received="a damaged file",
            action="Export again.",
        ) from None  # fmt: skip


def describe(check: Check) -> str:
    """One line for a screen."""
    if check.message:
        return f"{check.file} in {check.runtime}: {check.message}"
    if check.fault:
        return f"{check.file} in {check.runtime}: NOT as expected: {check.fault}"
    verdict = "as expected" if check.passed else "NOT as expected"
    return (
        f"{check.file} in {check.runtime}: {verdict}, {check.same_class} of {check.images} images of the same class, "
        f"probabilities within {check.difference:.1e} (at most {check.tolerance:.1e})"
    )


def _check(folder: Path, runtime: Runtime, golden: Golden) -> Check:
    kind = FORMATS[runtime.format]
    try:
        named = f"{runtime.package} {version(runtime.package)}"
    except PackageNotFoundError:
        return Check(kind.file, runtime.package, message="not installed here")
    expected = golden.answers[SHIPPED if kind.shipped else FLOAT]
    try:
        given = runtime.run(folder / kind.file, golden.images, golden.classes)
        difference = float(np.abs(given - expected).max())
        tolerance, fault = _examine(folder / kind.file, golden.classes) if kind.shipped else (FLOAT_TOLERANCE, "")
    except ImportError as error:
        return Check(kind.file, named, message=f"cannot be imported here: {error}")
    except Exception as error:  # noqa: BLE001 - of a damaged file each runtime raises kinds of its own
        said = str(error).strip().splitlines()
        return Check(kind.file, named, fault=f"{type(error).__name__}{f': {said[0][:200]}' if said else ''}")
    same = int(np.sum(given.argmax(axis=1) == expected.argmax(axis=1)))
    return Check(kind.file, named, len(given), difference, tolerance, same, fault=fault)


def _examine(file: Path, classes: Sequence[str]) -> tuple[float, str]:
    """Tolerance of a .tflite file, and what is wrong with the texts in it, if anything."""
    from automl_cnn.litert import LiteModel

    model = LiteModel(file)
    in_steps = model.output_dtype != np.float32 or "int8" in model.tensor_dtypes()
    carried = read_files(file.read_bytes())
    missing, fault = [name for name in COMPANIONS if name not in carried], ""
    if missing:
        fault = f"{' and '.join(missing)} missing inside the file"
    elif carried[LABELS].split("\n")[:-1] != list(classes):
        fault = f"{LABELS} inside the file names other classes"
    return INT8_TOLERANCE if in_steps else FLOAT_TOLERANCE, fault


def _litert(file: Path, images: Images, classes: Sequence[str]) -> Answers:
    from automl_cnn.litert import LiteModel

    model = LiteModel(file)
    return np.concatenate([model.run(image[None]) for image in images])


def _mediapipe(file: Path, images: Images, classes: Sequence[str]) -> Answers:
    """As an app does it: labels come from the file's own metadata."""
    import_quietly("mediapipe")
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(BaseOptions(model_asset_buffer=file.read_bytes()))
    answers = np.zeros((len(images), len(classes)), np.float32)
    with native_messages_dropped(), vision.ImageClassifier.create_from_options(options) as classifier:
        for row, image in enumerate(images):
            given = classifier.classify(mediapipe.Image(mediapipe.ImageFormat.SRGB, image))
            for category in given.classifications[0].categories:
                answers[row, classes.index(category.category_name)] = category.score
    return answers


def _keras(file: Path, images: Images, classes: Sequence[str]) -> Answers:
    import_quietly("keras")
    import keras

    from automl_cnn.models.layers import with_constant

    with_constant(keras)  # registers the one layer that Keras does not know
    return np.asarray(keras.models.load_model(file, compile=False).predict(images.astype(np.float32), verbose=0))


def _tensorflow(file: Path, images: Images, classes: Sequence[str]) -> Answers:
    import_quietly("tensorflow")
    import tensorflow as tf

    return np.asarray(
        tf.saved_model.load(str(file)).signatures["serving_default"](tf.constant(images))["probabilities"]
    )


def _onnxruntime(file: Path, images: Images, classes: Sequence[str]) -> Answers:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])


def _openvino(file: Path, images: Images, classes: Sequence[str]) -> Answers:
    import openvino

    compiled: Any = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(image[None])[0] for image in images])


RUNTIMES = (
    Runtime("ai-edge-litert", "tflite", _litert),
    Runtime("mediapipe", "tflite", _mediapipe),
    Runtime("keras", "keras", _keras),
    Runtime("tensorflow", "savedmodel", _tensorflow),
    Runtime("onnxruntime", "onnx", _onnxruntime),
    Runtime("openvino", "openvino", _openvino),
)
