"""Every file beside its rivals, each run as it would ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.evaluate.latency import measure_latency
from automl_cnn.evaluate.metrics import label_losses, score_probabilities
from automl_cnn.evaluate.paired import compare_paired
from automl_cnn.evaluate.peak_memory import peak_memory_mib
from automl_cnn.litert import LiteCopies, LiteModel
from automl_cnn.progress import Progress, silent
from automl_cnn.quantize.gate import Rung, paired_drop
from automl_cnn.quantize.images import Images, LabelledImages
from automl_cnn.train.objective import objective_score

LATENCY_RUNS = 50
CALIBRATION_BINS = 15
RESAMPLES, CONFIDENCE = 1000, 0.95


@dataclass(frozen=True)
class Yardstick:
    """What every file is measured by.

    Attributes:
        validation: at least one image.
        class_names: in the order of the outputs.
        objective: what the search maximized: accuracy, balanced_accuracy or macro_f1.
    """

    validation: LabelledImages
    class_names: Sequence[str]
    objective: str = "accuracy"


def measure(
    path: Path,
    yardstick: Yardstick,
    reference: NDArray[np.float32] | None = None,
    progress: Progress = silent,
) -> tuple[Rung, NDArray[np.float32]]:
    """Run a file on the validation images and time it.

    Args:
        path: the .tflite file, called <rung>.tflite.
        yardstick: images and objective.
        reference: float32 [n, classes] of the float32 rung; None when this is it.
        progress: told as images are done.
    Returns:
        The rung, and its probabilities float32 [n, classes].
    Raises:
        ModelFileError: the file cannot be run.
    """
    model, labels, class_names = LiteModel(path), yardstick.validation.labels, yardstick.class_names
    probabilities = run_all(path, yardstick.validation.images, range(len(labels)), f"measuring {path.stem}", progress)
    answers = probabilities.argmax(axis=1)
    reference = probabilities if reference is None else reference
    expected = reference.argmax(axis=1)
    drop = paired_drop(expected == labels, answers == labels)
    of_objective = drop if yardstick.objective == "accuracy" else _drop(yardstick, reference, probabilities)
    scores = score_probabilities(labels, probabilities, list(class_names), CALIBRATION_BINS)
    rung = Rung(
        rung=path.stem,
        path=path.name,
        val_accuracy=scores.accuracy,
        val_log_loss=round(scores.log_loss, 6),
        val_ece=round(scores.ece, 6),
        val_drop_ci95=drop,
        objective=yardstick.objective,
        val_score=objective_score(yardstick.objective, labels, probabilities),
        val_score_drop_ci95=of_objective,
        agreement=float(np.mean(answers == expected)),
        flipped=int(np.sum(answers != expected)),
        class_drops=_class_drops(labels, expected == labels, answers == labels, class_names),
        size_bytes=path.stat().st_size,
        latency_ms=measure_latency(path, LATENCY_RUNS, threads=1).median_ms,
        latency_all_ms=measure_latency(path, LATENCY_RUNS, threads=available_cpus()).median_ms,
        peak_mib=peak_memory_mib(path),
        float_tensors=model.tensor_dtypes().count("float32"),
        partitions=model.partitions(),
    )
    return rung, probabilities


def _drop(
    yardstick: Yardstick, reference: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> tuple[float, float]:
    """95 % interval of the objective that is lost against the reference, by a paired bootstrap over images."""
    labels = yardstick.validation.labels
    found = compare_paired(
        labels, reference, probabilities, np.arange(len(labels)), resamples=RESAMPLES, confidence=CONFIDENCE, seed=1
    ).differences[yardstick.objective]
    return -found.high, -found.low


def _class_drops(
    labels: NDArray[np.int64], reference_right: NDArray[np.bool_], right: NDArray[np.bool_], class_names: Sequence[str]
) -> dict[str, float]:
    lost = reference_right.astype(float) - right
    return {
        name: round(float(lost[labels == index].mean()), 6)
        for index, name in enumerate(class_names)
        if (labels == index).any()
    }


def validation_rank(content: bytes, yardstick: Yardstick, progress: Progress = silent) -> tuple[float, float]:
    """What the gate looks at, the better file has the greater: the objective, then minus the log loss."""
    labels = yardstick.validation.labels
    probabilities = run_all(
        content, yardstick.validation.images, range(len(labels)), "measuring a checkpoint", progress
    )
    return objective_score(yardstick.objective, labels, probabilities), -float(
        label_losses(labels, probabilities).mean()
    )


def run_all(
    source: Path | bytes, images: Images, rows: Sequence[int], label: str, progress: Progress = silent
) -> NDArray[np.float32]:
    """Probabilities that a .tflite file gives many images, on all cores: float32 [len(rows), classes]."""
    model = LiteCopies(source, available_cpus())
    return model.run_rows(images.__getitem__, np.asarray(rows, np.int64), label, progress)[0]
