"""From the search's best candidate to a float model: fit its head, fine-tune, calibrate, write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import Files
from automl_cnn.config import Params
from automl_cnn.data.split_images import SplitRows, load_images, split_rows
from automl_cnn.data.store import ImageStore
from automl_cnn.features.stage_files import read_views
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, digest, load_pretrained
from automl_cnn.progress import Progress, silent
from automl_cnn.train.batches import TrainingImages
from automl_cnn.train.calibration import fit_temperature, fold_temperature
from automl_cnn.train.candidate import Candidate, head_settings_of, spec_of
from automl_cnn.train.checkpoint import Checkpoint
from automl_cnn.train.finetune import FineTuning, fine_tune
from automl_cnn.train.head import fit_head
from automl_cnn.train.objective import objective_score
from automl_cnn.train.outputs import TrainedModel, write_model

GOLDEN_IMAGES = 16


def train_winner(
    params: Params, files: Files, candidate: Candidate, cache: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Train the winner and write model/.

    Args:
        params: the sections data, search and train are read.
        files: images, features and split are read, model is written.
        candidate: what the search found.
        cache: folder of checkpoints; a killed training goes on from there.
        progress: told of every batch.
    Returns:
        What model/result.json holds: objective, scores on validation, best epoch, temperature.
    """
    training, validation = split_rows(files, "train"), split_rows(files, "validation")
    spec = spec_of(candidate.values, len(training.classes), candidate.input_size_px)
    score = _scorer(candidate.objective)
    pretrained = load_pretrained(spec.backbone, params.search.weights_dir)
    start = {**pretrained, **_fitted_head(files, spec, candidate, params.search.seed, training, validation)}

    store = ImageStore.open(files.images)
    plan = _plan(params, candidate)
    images = TrainingImages(
        store, training.store_rows, training.labels, spec.input_size_px,
        candidate.values["augmentation"], params.train.batch_size, params.train.seed,
    )  # fmt: skip
    held_out = replace(images, rows=validation.store_rows, labels=validation.labels, policy="none")
    identity = [repr(spec), repr(plan), digest(start), store.digest, images.policy, images.batch_size, images.seed]
    identity += [hashlib.sha256(part.tobytes()).hexdigest() for part in (images.rows, images.labels, held_out.rows)]
    tuned = fine_tune(spec, start, plan, images, held_out, score, Checkpoint(cache, identity), progress)

    temperature = fit_temperature(tuned.logits, validation.labels)
    result = {
        "objective": candidate.objective,
        "validation_score": tuned.score,
        "validation_accuracy": float(np.mean(tuned.logits.argmax(axis=1) == validation.labels)),
        "head_score": tuned.history[0]["validation_score"],
        "best_epoch": tuned.best_epoch,
        "temperature": temperature,
    }
    trained = TrainedModel(
        spec, fold_temperature(tuned.weights, temperature), training.classes, _preprocessing(params, spec),
        tuned.history, result,
    )  # fmt: skip
    write_model(files.model, trained, load_images(store, validation.store_rows[:GOLDEN_IMAGES], spec.input_size_px))
    return result


def _fitted_head(
    files: Files, spec: ClassifierSpec, candidate: Candidate, seed: int, training: SplitRows, validation: SplitRows
) -> Weights:
    """The head exactly as the winning trial fitted it: same features, same values, same seed."""
    folder, policy = files.features / spec.backbone, candidate.values["augmentation"]
    views = read_views(folder, policy)
    head = fit_head(
        spec,
        head_settings_of(candidate.values, seed),
        [view[training.store_rows] for view in views],
        training.labels,
        (views[0][validation.store_rows], validation.labels),
        _scorer(candidate.objective),
    )
    return head.weights


def _plan(params: Params, candidate: Candidate) -> FineTuning:
    train, values = params.train, candidate.values
    return FineTuning(
        epochs=train.epochs or 0,
        unfreeze_from_block=train.unfreeze_from_block or 1,
        learning_rate=train.learning_rate or 1e-4,
        weight_decay=values["weight_decay"],
        label_smoothing=values["label_smoothing"],
        balanced=values["class_weight"] == "balanced",
        patience=train.patience,
        seed=train.seed,
    )


def _preprocessing(params: Params, spec: ClassifierSpec) -> dict[str, Any]:
    """How a file becomes the network's input; `serve.predict` does it, step by step."""
    data = params.data
    return {
        "working_size_px": data.working_size_px,
        "input_size_px": spec.input_size_px,
        "resize": data.resize,
        "max_megapixels": data.max_megapixels,
    }


def _scorer(objective: str) -> Callable[[NDArray[np.int64], NDArray[np.float32]], float]:
    return lambda labels, probabilities: objective_score(objective, labels, probabilities)
