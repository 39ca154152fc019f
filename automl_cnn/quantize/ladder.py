"""Every file beside its rivals, each run as it would ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.errors import QuantizeError
from automl_cnn.evaluate.latency import measure_latency
from automl_cnn.evaluate.metrics import label_losses, score_probabilities
from automl_cnn.evaluate.paired import paired_intervals
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
        groups: int64 [n], 0 … groups − 1, of the validation images that belong together; None where none do.
    """

    validation: LabelledImages
    class_names: Sequence[str]
    objective: str = "accuracy"
    groups: NDArray[np.int64] | None = None


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
        QuantizeError: it answers with NaN or infinity.
    """
    model, labels, class_names = LiteModel(path), yardstick.validation.labels, yardstick.class_names
    probabilities = run_all(path, yardstick.validation.images, range(len(labels)), f"measuring {path.stem}", progress)
    if not np.isfinite(probabilities).all():
        raise QuantizeError(
            path.name, expected="probabilities", received="NaN or infinity on a validation image",
            action="Nothing has to be done: another file ships.",
        )  # fmt: skip
    answers = probabilities.argmax(axis=1)
    reference = probabilities if reference is None else reference
    expected = reference.argmax(axis=1)
    drops = intervals_of_drops(yardstick, reference, probabilities)
    scores = score_probabilities(labels, probabilities, list(class_names), CALIBRATION_BINS)
    rung = Rung(
        rung=path.stem,
        path=path.name,
        val_accuracy=scores.accuracy,
        val_log_loss=round(scores.log_loss, 6),
        val_ece=round(scores.ece, 6),
        val_drop_ci95=drops["accuracy"],
        objective=yardstick.objective,
        val_score=objective_score(yardstick.objective, labels, probabilities),
        val_score_drop_ci95=drops[yardstick.objective],
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


def intervals_of_drops(
    yardstick: Yardstick, reference: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> dict[str, tuple[float, float]]:
    """95 % intervals of what is lost against the reference, of accuracy and objective at least.

    By a paired bootstrap over groups; of the accuracy of single images there is a formula.

    Args:
        yardstick: labels, groups and objective.
        reference, probabilities: float32 [n, classes] of float32 and of the file.
    """
    labels, groups = yardstick.validation.labels, yardstick.groups
    singles = groups is None or len(np.unique(groups)) == len(labels)
    found = {}
    if not singles or yardstick.objective != "accuracy":
        units = np.arange(len(labels)) if groups is None else groups
        gains = paired_intervals(
            labels, reference, probabilities, units, resamples=RESAMPLES, confidence=CONFIDENCE, seed=1
        )
        found = {name: (-high, -low) for name, (low, high) in gains.items()}
    if singles:
        right = [given.argmax(axis=1) == labels for given in (reference, probabilities)]
        found["accuracy"] = paired_drop(*right)
    return found


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
