"""From the trained float network to the file that ships: twin, calibration, the files of the ladder, one choice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import Files, read_json, replacing_folder, write_json
from automl_cnn.config import Params, QuantizeParams, TargetParams
from automl_cnn.data.split_images import split_rows
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import AutoMLError
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights
from automl_cnn.progress import Progress, silent
from automl_cnn.quantize.bias_room import make_room_for_biases
from automl_cnn.quantize.calibrate import Ranges, choose_calibration, observe_ranges
from automl_cnn.quantize.equalize import equalize
from automl_cnn.quantize.gate import FALLBACKS, FLOAT32, Rung, judge, over_target, passing_int8
from automl_cnn.quantize.images import LabelledImages, StoredImages
from automl_cnn.quantize.ladder import Yardstick, measure
from automl_cnn.quantize.rungs import Exports, Making
from automl_cnn.quantize.twin import FloatModel, build_twin, check_parity, load_float_model
from automl_cnn.reference.build import build_reference
from automl_cnn.reference.record import REFERENCE
from automl_cnn.tflite_metadata import COMPANIONS, with_metadata


def quantize_winner(params: Params, files: Files, objective: str, progress: Progress = silent) -> list[Rung]:
    """Quantize the trained model and write quantized/.

    Args:
        params: the sections quantize and target are read.
        files: model, images and splits are read, quantized is replaced.
        objective: what the search maximized, and by which the files are chosen.
        progress: told about every batch, step and image.
    Returns:
        The rungs as ladder.json has them.
    Raises:
        ArtifactError: a file of an earlier stage is missing or damaged.
        QuantizeError: the weights cannot be carried over, a class has no image, or the float file cannot be made.
    """
    model = load_float_model(files.model)
    store, size_px = ImageStore.open(files.images), model.spec.input_size_px
    training, validation = split_rows(files, "train"), split_rows(files, "validation")
    rungs = write_ladder(
        model,
        LabelledImages(StoredImages(store, training.store_rows, size_px), training.labels),
        Yardstick(
            LabelledImages(StoredImages(store, validation.store_rows, size_px), validation.labels),
            model.class_names,
            objective,
            pd.factorize(validation.table["group"])[0].astype(np.int64),
        ),
        params.quantize,
        files,
        progress,
        params.target,
    )
    reference = build_reference(files, files.quantized / "model.tflite", params.quantize.seed, progress)
    reference.save(files.quantized / REFERENCE)
    return rungs


def write_ladder(
    model: FloatModel,
    training: LabelledImages,
    yardstick: Yardstick,
    params: QuantizeParams,
    files: Files,
    progress: Progress = silent,
    target: TargetParams | None = None,
) -> list[Rung]:
    """As `quantize_winner`, with images from anywhere.

    Args:
        model: the trained float network.
        training: images for calibration and training.
        yardstick: images and objective that decide what ships.
        params: no value is None.
        files: labels.txt and preprocessing.json are copied from `model`, `quantized` is replaced.
        progress: told about every batch, step and image.
        target: what the shipped file may cost; that it costs more is said in its reason.
    Returns:
        The rungs as ladder.json has them.
    """
    assert params.calibration_images is not None  # the preset fills it in
    rows = choose_calibration(training.labels, model.class_names, params.calibration_images, params.seed)
    twin = build_twin(model.spec, model.weights)
    check_parity(twin, model.golden_images, model.golden_probabilities)
    calibration = training.images[rows]
    equalized, ranges = equalized_twin(model.spec, model.weights, calibration, progress)
    preprocessing = read_json(files.model / "preprocessing.json")

    def described(export: Callable[[], bytes]) -> bytes:
        return with_metadata(export(), model.class_names, preprocessing)

    with replacing_folder(files.quantized) as folder:
        work = Making(model.spec, twin, equalized, ranges, calibration, training, yardstick, params, folder, progress)
        exports = {name: partial(described, export) for name, export in work.exports().items()}
        rungs = climb(folder, exports, yardstick, params.max_drop, progress)
        judged = judge(rungs, params.max_drop)
        if target is not None:
            judged = [_held_against(rung, target) for rung in judged]
        shipped = next(rung.path for rung in judged if rung.shipped)
        shutil.copyfile(folder / str(shipped), folder / "model.tflite")
        for name in COMPANIONS:
            shutil.copyfile(files.model / name, folder / name)
        write_json(folder / "ladder.json", [asdict(rung) for rung in judged])
    return judged


def equalized_twin(
    spec: ClassifierSpec, weights: Weights, calibration: NDArray[np.uint8], progress: Progress = silent
) -> tuple[Any, Ranges]:
    """The network from which int8 files are made: the same function, its channels and biases as int8 likes them.

    Args:
        spec, weights: the trained float network, as for `build_twin`.
        calibration: uint8 RGB [n, H, W, 3].
        progress: told about every batch.
    Returns:
        A twin of its own and the ranges of its outputs; as it is and without ranges where it is in Keras 3 alone.
    """
    twin = build_twin(spec, weights)
    if backbone_of(spec.backbone).keras_only:
        return twin, {}
    equalize(twin, calibration, progress)
    ranges = observe_ranges(twin, calibration, progress)
    make_room_for_biases(twin, ranges)
    return twin, ranges


def climb(
    folder: Path,
    exports: Exports,
    yardstick: Yardstick,
    max_drop: float,
    progress: Progress = silent,
) -> list[Rung]:
    """Make and measure the rungs, FALLBACKS only where no file that is int8 throughout passes the gate.

    One that fails is noted and the others go on, but nothing goes without float32.

    Args:
        folder: the files are written here.
        exports: how each rung's file is made, in the order in which they are.
        yardstick: images and objective that decide.
        max_drop: of the gate.
        progress: told about every file and image.
    """
    rungs: list[Rung] = []
    reference = None
    for done, (name, export) in enumerate(exports.items()):
        if name in FALLBACKS and passing_int8(rungs, max_drop):
            continue
        progress("files", done, len(exports), name)
        path = folder / f"{name}.tflite"
        try:
            path.write_bytes(export())
            rung, probabilities = measure(path, yardstick, reference, progress)
        except Exception as error:  # three converters and TensorFlow: each has kinds of its own
            if name == FLOAT32:
                raise
            path.unlink(missing_ok=True)
            rungs.append(Rung(name, error=_told(error)))
            continue
        rungs.append(rung)
        reference = probabilities if reference is None else reference
    progress("files", len(exports), len(exports))
    return rungs


def _held_against(rung: Rung, target: TargetParams) -> Rung:
    over = over_target(rung, target.max_latency_ms, target.max_size_mb)
    return replace(rung, reason=f"{rung.reason}; {over}") if over and rung.shipped else rung


def _told(error: Exception) -> str:
    """Our own errors whole; of a library's the kind and the first line."""
    if isinstance(error, AutoMLError):
        return str(error)
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}".removesuffix(": ")
