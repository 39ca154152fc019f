"""From the trained float network to the file that ships: twin, calibration, training, four files, one choice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import Files, replacing_folder, write_json
from automl_cnn.config import Params, QuantizeParams
from automl_cnn.data.split_images import split_rows
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import ModelFileError, QuantizeError
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.progress import Progress, silent
from automl_cnn.quantize.calibrate import choose_calibration, observe_ranges
from automl_cnn.quantize.gate import FLOAT16, FLOAT32, PTQ_INT8, QAT_INT8, Rung, judge
from automl_cnn.quantize.images import LabelledImages, StoredImages
from automl_cnn.quantize.ladder import measure, run_all, validation_rank
from automl_cnn.quantize.qat import QatSettings, checkpoints, draw_batches, mix_targets, train_simulated
from automl_cnn.quantize.twin import FloatModel, build_twin, check_parity, load_float_model

COPIED = ("labels.txt", "preprocessing.json")
Exports = dict[str, Callable[[], bytes]]


def quantize_winner(params: Params, files: Files, progress: Progress = silent) -> list[Rung]:
    """Quantize the trained model and write quantized/.

    Args:
        params: the section quantize is read.
        files: model, images and splits are read, quantized is replaced.
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
    return write_ladder(
        model,
        LabelledImages(StoredImages(store, training.store_rows, size_px), training.labels),
        LabelledImages(StoredImages(store, validation.store_rows, size_px), validation.labels),
        params.quantize,
        files,
        progress,
    )


def write_ladder(
    model: FloatModel,
    training: LabelledImages,
    validation: LabelledImages,
    params: QuantizeParams,
    files: Files,
    progress: Progress = silent,
) -> list[Rung]:
    """As `quantize_winner`, with images from anywhere.

    Args:
        model: the trained float network.
        training: images for calibration and training.
        validation: images that decide what ships.
        params: steps and learning_rate are filled in.
        files: labels.txt and preprocessing.json are copied from `model`, `quantized` is replaced.
        progress: told about every batch, step and image.
    Returns:
        The rungs as ladder.json has them.
    """
    rows = choose_calibration(training.labels, model.class_names, params.calibration_images, params.seed)
    calibration = training.images[rows]
    twin = build_twin(model.spec, model.weights)
    check_parity(twin, model.golden_images, model.golden_probabilities)
    with replacing_folder(files.quantized) as folder:
        rungs = climb(
            folder,
            _exports(model.spec, twin, calibration, training, validation, params, folder, progress),
            validation,
            progress,
        )
        judged = judge(rungs, params.max_drop)
        shipped = next(rung.path for rung in judged if rung.shipped)
        shutil.copyfile(folder / str(shipped), folder / "model.tflite")
        for name in COPIED:
            shutil.copyfile(files.model / name, folder / name)
        write_json(folder / "ladder.json", [asdict(rung) for rung in judged])
    return judged


def _exports(
    spec: ClassifierSpec,
    twin: Any,
    calibration: NDArray[np.uint8],
    training: LabelledImages,
    validation: LabelledImages,
    params: QuantizeParams,
    folder: Path,
    progress: Progress,
) -> Exports:
    """How each rung's file is made, in the order in which they are: the float32 file teaches the last."""
    from automl_cnn.quantize import export

    return {
        FLOAT32: partial(export.export_float32, twin),
        FLOAT16: partial(export.export_float16, twin),
        PTQ_INT8: partial(export.export_ptq_int8, twin, calibration),
        QAT_INT8: partial(
            _train_int8, spec, twin, calibration, training, validation, params, folder / f"{FLOAT32}.tflite", progress
        ),
    }


def climb(folder: Path, exports: Exports, validation: LabelledImages, progress: Progress = silent) -> list[Rung]:
    """Make and measure every rung; one that fails is noted and the others go on, but nothing goes without float32."""
    rungs, reference = [], None
    for done, (name, export) in enumerate(exports.items()):
        progress("files", done, len(exports), name)
        path = folder / f"{name}.tflite"
        try:
            path.write_bytes(export())
            rung, probabilities = measure(path, validation, reference, progress)
        except (QuantizeError, ModelFileError) as error:
            if name == FLOAT32:
                raise
            path.unlink(missing_ok=True)
            rungs.append(Rung(name, error=str(error)))
            continue
        rungs.append(rung)
        reference = probabilities if reference is None else reference
    progress("files", len(exports), len(exports))
    return rungs


def _train_int8(
    spec: ClassifierSpec,
    twin: Any,
    calibration: NDArray[np.uint8],
    training: LabelledImages,
    validation: LabelledImages,
    params: QuantizeParams,
    teacher: Path,
    progress: Progress,
) -> bytes:
    if not (backbone_of(spec.backbone).quantizes and spec.pooling == "average"):
        raise QuantizeError(
            "quantization-aware training", expected="a backbone that it supports, with average pooling",
            received=f"{spec.backbone} with {spec.pooling} pooling",
            action="`automl-cnn backbones` shows which it supports; name them in search.backbones.",
        )  # fmt: skip
    from automl_cnn.quantize.export import export_qat_int8
    from automl_cnn.quantize.scheme import simulate_int8

    assert params.steps is not None  # the preset fills both in
    assert params.learning_rate is not None
    settings = QatSettings(params.steps, params.batch_size, params.learning_rate, params.seed)
    simulated = simulate_int8(twin, observe_ranges(twin, calibration, progress))
    if not params.steps:
        return export_qat_int8(simulated)
    batches = draw_batches(len(training.labels), settings)
    targets = np.zeros((len(training.labels), twin.output_shape[-1]), np.float32)
    # Asked once and through LiteRT: three times as fast as Keras, and only for images that training will see.
    seen = np.unique(batches).tolist()
    answers = run_all(teacher, training.images, seen, "asking the float network", progress)
    targets[seen] = mix_targets(answers, training.labels[seen])
    steps = train_simulated(simulated, training.images, targets, batches, settings.learning_rate, progress)
    # Late checkpoints differ by the rounding of a few weights, which on a small validation set is worth a few images.
    files = (export_qat_int8(simulated) for done in steps if done in checkpoints(params.steps))
    return max(files, key=partial(validation_rank, validation=validation, progress=progress))
