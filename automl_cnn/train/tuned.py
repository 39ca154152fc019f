"""A candidate's values made real: a fitted head, a fine-tuned network. The search and the train stage share it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from automl_cnn.models import pretrained
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, digest
from automl_cnn.progress import Progress, silent
from automl_cnn.train.batches import TrainingImages
from automl_cnn.train.candidate import head_settings_of, spec_of, tuning_of
from automl_cnn.train.checkpoint import Checkpoint
from automl_cnn.train.distill import teacher_of
from automl_cnn.train.finetune import FineTuned, FineTuning, TuningSeconds, fine_tune, probe_seconds
from automl_cnn.train.head import FittedHead, fit_head, merge_heads
from automl_cnn.train.material import Material
from automl_cnn.train.memo import Memo

# modules of models/ and train/ that no score depends on: what is printed, fetched and written
UNDECIDING = ("listing", "anatomy", "download", "outputs", "winner", "memo", "checkpoint")


def fit_candidate(values: Mapping[str, Any], views: int, material: Material) -> FittedHead:
    """Fit a head on frozen features, or several that become one.

    Args:
        values: of the head; with `members`, the values of the heads that are merged.
        views: augmented views of every image beside the image itself.
        material: images, labels and settings.
    """
    held_out = (material.features(values, material.validation), material.validation.labels)
    heads = [
        fit_head(
            spec_of(member, len(material.classes)),
            head_settings_of(member, material.params.search.seed),
            list(material.views(member, views)),
            material.training.labels,
            held_out,
            material.score,
            material.standard_error,
        )
        for member in values.get("members", [values])
    ]
    if len(heads) == 1:
        return heads[0]
    merged = merge_heads(heads)
    return replace(merged, score=material.score(material.validation.labels, merged.probabilities))


def tune_candidate(
    values: Mapping[str, Any],
    views: int,
    material: Material,
    progress: Progress = silent,
    until_s: float = math.inf,
) -> FineTuned:
    """Fine-tune the network that the values describe, from their fitted head; what was finished once is read.

    A network without pretrained weights is trained as a whole, from random ones. Where the values name a teacher, that
    one is trained first, or read if it was trained before.

    Args:
        values: of the head and of fine-tuning.
        views: on which the head is fitted.
        material: images, labels and settings.
        progress: told of every batch.
        until_s: as of `fine_tune`; what time cut short is remembered as what it became, a training of fewer epochs.
    """
    work = _tuning(values, views, material)
    folder, training = material.folder / "train", work.training
    identity = [
        repr(work.spec), digest(work.start), material.store.digest, training.policy,
        training.batch_size, training.seed, material.forbidden, material.training.digest(),
        material.validation.digest(), material.params.search.objective, code_digest(),
    ]  # fmt: skip
    taught_by = _teacher(values, material, progress)
    if taught_by is not None:
        identity.append(digest(taught_by[1]))
    planned = [repr(work.plan), *identity]
    tuned = Memo(folder / "finished", planned).load()
    if tuned is None:
        tuned = fine_tune(
            work.spec, work.start, work.plan, training, work.validation, material.score,
            Checkpoint(folder, planned), progress, teacher_of(*taught_by) if taught_by else None, until_s,
            material.standard_error,
        )  # fmt: skip
        became = [repr(replace(work.plan, epochs=tuned.epochs)), *identity]
        Memo(folder / "finished", became).save(tuned)
    return tuned


def probe_candidate(values: Mapping[str, Any], views: int, material: Material) -> TuningSeconds:
    """What `tune_candidate` would take, measured on a few steps; validation is not counted."""
    work = _tuning(values, views, material)
    return probe_seconds(work.spec, work.start, work.plan, work.training)


def train_candidate(
    values: Mapping[str, Any], views: int, material: Material, progress: Progress = silent
) -> FineTuned:
    """The whole network of a candidate: fine-tuned where its values say so, else its head on the untouched backbone."""
    if "unfreeze_from_block" in values:
        return tune_candidate(values, views, material, progress)
    head = fit_candidate(values, views, material)
    accuracy = float(np.mean(head.logits.argmax(axis=1) == material.validation.labels))
    entry = {"epoch": 0, "loss": float("nan"), "seconds": 0.0}
    entry |= {"validation_score": head.score, "validation_accuracy": accuracy}
    return FineTuned(_start(values, head, material), head.logits, head.score, 0, history=[entry])


def code_digest() -> str:
    """Sixteen hexadecimal digits of the code that decides what a trial's values become."""
    package = Path(__file__).parents[1]
    sha = hashlib.sha256()
    for folder in ("models", "train"):
        for path in sorted((package / folder).glob("*.py")):
            if path.stem not in UNDECIDING:
                sha.update(path.read_bytes())
    for name in ("augment.py", "decode.py", "image_changes.py", "randaugment.py", "split_images.py"):
        sha.update((package / "data" / name).read_bytes())
    return sha.hexdigest()[:16]


@dataclass(frozen=True)
class _Tuning:
    """What `fine_tune` is given."""

    spec: ClassifierSpec
    start: Weights
    plan: FineTuning
    training: TrainingImages
    validation: TrainingImages


def _tuning(values: Mapping[str, Any], views: int, material: Material) -> _Tuning:
    start: Weights = {}
    if backbone_of(values["backbone"]).pretrained:
        start = _start(values, fit_candidate(values, views, material), material)
    spec, seed = spec_of(values, len(material.classes)), material.params.train.seed
    training = TrainingImages(
        material.store, material.training.rows, material.training.labels, spec.input_size_px,
        values["tuning_augmentation"], values["batch_size"], seed, material.forbidden,
    )  # fmt: skip
    held_out = material.validation
    validation = replace(training, rows=held_out.rows, labels=held_out.labels, policy="none")
    return _Tuning(spec, start, tuning_of(values, material.params), training, validation)


def _teacher(
    values: Mapping[str, Any], material: Material, progress: Progress
) -> tuple[ClassifierSpec, Weights] | None:
    """Network and weights of the teacher that the values name."""
    if "teacher" not in values:
        return None
    tuned = tune_candidate(values["teacher"], values["teacher_views"], material, progress)
    return spec_of(values["teacher"], len(material.classes)), tuned.weights


def _start(values: Mapping[str, Any], head: FittedHead, material: Material) -> Weights:
    search = material.params.search
    return {**pretrained.load(values["backbone"], search.weights_dir, search.download), **head.weights}
