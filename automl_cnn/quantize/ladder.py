"""Every file beside its rivals, each run as it would ship."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.evaluate.latency import measure_latency
from automl_cnn.evaluate.metrics import label_losses
from automl_cnn.litert import LiteCopies, LiteModel
from automl_cnn.progress import Progress, silent
from automl_cnn.quantize.gate import Rung, paired_drop
from automl_cnn.quantize.images import Images, LabelledImages

LATENCY_RUNS = 50
READ_AT_ONCE = 64  # images; 64 of 224 px are 10 MB


def measure(
    path: Path,
    validation: LabelledImages,
    reference: NDArray[np.float32] | None = None,
    progress: Progress = silent,
) -> tuple[Rung, NDArray[np.float32]]:
    """Run a file on the validation images and time it.

    Args:
        path: the .tflite file, called <rung>.tflite.
        validation: at least one image.
        reference: float32 [n, classes] of the float32 rung; None when this is it.
        progress: told as images are done.
    Returns:
        The rung, and its probabilities float32 [n, classes].
    Raises:
        ModelFileError: the file cannot be run.
    """
    model, labels = LiteModel(path), validation.labels
    probabilities = run_all(path, validation.images, range(len(labels)), f"measuring {path.stem}", progress)
    answers = probabilities.argmax(axis=1)
    expected = answers if reference is None else reference.argmax(axis=1)
    rung = Rung(
        rung=path.stem,
        path=path.name,
        val_accuracy=float(np.mean(answers == labels)),
        val_log_loss=round(float(label_losses(labels, probabilities).mean()), 6),
        val_drop_ci95=paired_drop(expected == labels, answers == labels),
        agreement=float(np.mean(answers == expected)),
        size_bytes=path.stat().st_size,
        latency_ms=measure_latency(path, LATENCY_RUNS, threads=1).median_ms,
        float_tensors=model.tensor_dtypes().count("float32"),
        partitions=model.partitions(),
    )
    return rung, probabilities


def validation_rank(content: bytes, validation: LabelledImages, progress: Progress = silent) -> tuple[float, float]:
    """What the gate looks at, the better file has the greater: validation accuracy, then minus the log loss."""
    labels = validation.labels
    probabilities = run_all(content, validation.images, range(len(labels)), "measuring a checkpoint", progress)
    accuracy = float(np.mean(probabilities.argmax(axis=1) == labels))
    return accuracy, -float(label_losses(labels, probabilities).mean())


def run_all(
    source: Path | bytes, images: Images, rows: Sequence[int], label: str, progress: Progress = silent
) -> NDArray[np.float32]:
    """Probabilities that a .tflite file gives many images, on all cores: float32 [len(rows), classes]."""
    model, answers = LiteCopies(source, available_cpus()), []
    for start in range(0, len(rows), READ_AT_ONCE):
        part = np.asarray(rows[start : start + READ_AT_ONCE])
        answers.append(model.run_each(images[part]))
        progress(label, start + len(part), len(rows))
    return np.concatenate(answers)
