"""One trial as a pure function: values in, score out. What a cluster would run.

There are three fidelities, each dearer and truer than the one before: a head on cached features of the images and one
augmented view, the same on more views, and fine-tuning of the network itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_cnn.models.registry import backbone_of
from automl_cnn.progress import Progress, silent
from automl_cnn.train.finetune import FineTuned
from automl_cnn.train.head import FittedHead
from automl_cnn.train.material import Material
from automl_cnn.train.tuned import fit_candidate, tune_candidate

CACHED_FEATURES, MORE_VIEWS, FINE_TUNING = "cached_features", "more_views", "fine_tuning"


@dataclass(frozen=True)
class Fidelity:
    """How thoroughly a trial looks.

    Attributes:
        name: cached_features, more_views or fine_tuning.
        images: training images that it sees; where that is a part of them, also a like part of validation.
        views: augmented views of every image that its head is fitted on, beside the image itself.
    """

    name: str
    images: int
    views: int


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial.

    Attributes:
        score: the objective on validation, 0 to 1.
        accuracy: on validation, 0 to 1.
        epochs: passes that were made.
        features_s: wall-clock seconds for features that were not in the cache.
        schedule_epochs: over which the rate of a fine-tuning fell; fewer than its values say where time ran short.
        standard_error: of the score, for want of validation images.
        log_loss: settles scores that are equal within it, in nats; after temperature scaling.
    """

    score: float
    accuracy: float
    epochs: int
    features_s: float
    schedule_epochs: int = 0
    standard_error: float = 0.0
    log_loss: float = 0.0


def evaluate(
    values: Mapping[str, Any],
    fidelity: Fidelity,
    context: Material,
    progress: Progress = silent,
    until_s: float = math.inf,
) -> TrialResult:
    """Fit and score one candidate.

    Args:
        values: of the head; of fine-tuning too where the fidelity says so.
        fidelity: how thoroughly.
        context: images, labels, features and settings of the search; the test side is not among them.
        progress: told of features, and of batches of fine-tuning.
        until_s: `time.perf_counter()` before which a fine-tuning should end, by fewer epochs if it must.
    Returns:
        Score and cost; the same for the same arguments and as many epochs, time aside.
    """
    part = context.part(fidelity.images)
    started = time.perf_counter()
    if backbone_of(values["backbone"]).pretrained:
        part.fetch(values, fidelity.views, progress)
    features_s = time.perf_counter() - started
    labels = part.validation.labels

    def accuracy_of(found: FineTuned | FittedHead) -> float:
        return float(np.mean(found.logits.argmax(axis=1) == labels))

    def settling(found: FineTuned | FittedHead) -> tuple[float, float]:
        return part.standard_error(labels, found.logits), part.log_loss(labels, found.logits)

    if fidelity.name == FINE_TUNING:
        tuned = tune_candidate(values, fidelity.views, part, progress, until_s)
        epochs, schedule = len(tuned.history) - 1, tuned.epochs
        return TrialResult(tuned.score, accuracy_of(tuned), epochs, features_s, schedule, *settling(tuned))
    head = fit_candidate(values, fidelity.views, part)
    return TrialResult(head.score, accuracy_of(head), head.epochs, features_s, 0, *settling(head))
