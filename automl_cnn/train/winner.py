"""From the search's best candidate to a float model: train it as its trial did, calibrate, write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from automl_cnn.artifacts import Files
from automl_cnn.config import Params
from automl_cnn.data.split_images import load_images
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.progress import Progress, silent
from automl_cnn.train.calibration import fit_temperature, fold_temperature
from automl_cnn.train.candidate import Candidate, spec_of
from automl_cnn.train.material import Material
from automl_cnn.train.outputs import TrainedModel, write_model
from automl_cnn.train.tuned import train_candidate

GOLDEN_IMAGES = 16


def train_winner(
    params: Params, files: Files, candidate: Candidate, cache: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Train the winner and write model/.

    A network that the search has fine-tuned on this machine is read from `cache`; elsewhere it is trained again.

    Args:
        params: the sections data, search and train are read.
        files: images and split are read, model is written.
        candidate: what the search found.
        cache: folder of features, checkpoints and finished trainings; a killed training goes on from there.
        progress: told of every batch.
    Returns:
        What model/result.json holds: objective, scores on validation, best epoch, temperature.
    """
    material = Material.of(params, files, cache)
    spec = spec_of(candidate.values, len(material.classes))
    tuned = train_candidate(candidate.values, candidate.views, material.part(candidate.images), progress)
    labels = material.part(candidate.images).validation.labels
    temperature = fit_temperature(tuned.logits, labels)
    result = {
        "objective": candidate.objective,
        "validation_score": tuned.score,
        "validation_accuracy": float(np.mean(tuned.logits.argmax(axis=1) == labels)),
        "head_score": tuned.history[0]["validation_score"],
        "best_epoch": tuned.best_epoch,
        "temperature": temperature,
    }
    trained = TrainedModel(
        spec, fold_temperature(tuned.weights, temperature), list(material.classes), _preprocessing(params, spec),
        tuned.history, result,
    )  # fmt: skip
    golden = load_images(material.store, material.validation.rows[:GOLDEN_IMAGES], spec.input_size_px)
    write_model(files.model, trained, golden)
    return result


def _preprocessing(params: Params, spec: ClassifierSpec) -> dict[str, Any]:
    """How a file becomes the network's input; `serve.predict` does it, step by step."""
    data = params.data
    return {
        "working_size_px": data.working_size_px,
        "input_size_px": spec.input_size_px,
        "resize": data.resize,
        "max_megapixels": data.max_megapixels,
    }
