"""One trial as a pure function: values in, score out. What a cluster would run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.train.candidate import head_settings_of, spec_of
from automl_cnn.train.head import fit_head
from automl_cnn.train.objective import objective_score


@dataclass(frozen=True)
class SearchData:
    """Everything a trial may look at; the test split is not among it.

    Attributes:
        train_views: (backbone, policy) → features of the training images, an array [n, d] a view, the image first.
        train_labels: int64 [n].
        validation: backbone → features [m, d].
        validation_labels: int64 [m].
        classes: number of classes.
    """

    train_views: dict[tuple[str, str], list[NDArray[np.float16]]]
    train_labels: NDArray[np.int64]
    validation: dict[str, NDArray[np.float16]]
    validation_labels: NDArray[np.int64]
    classes: int


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial.

    Attributes:
        score: the objective on validation, 0 to 1.
        accuracy: on validation, 0 to 1.
        epochs: passes that were made.
        seconds: wall-clock time.
    """

    score: float
    accuracy: float
    epochs: int
    seconds: float


def evaluate(values: Mapping[str, Any], data: SearchData, objective: str, seed: int, input_size_px: int) -> TrialResult:
    """Fit and score one head on cached features.

    Args:
        values: one value for every dimension of the space.
        data: features and labels.
        objective: macro_f1, accuracy or balanced_accuracy.
        seed: of the search; mixed with the values so that trials differ.
        input_size_px: of the features' backbone.
    Returns:
        Score and cost; the same for the same arguments, time aside.
    """
    started = time.perf_counter()
    backbone = values["backbone"]
    head = fit_head(
        spec_of(values, data.classes, input_size_px),
        head_settings_of(values, seed),
        data.train_views[backbone, values["augmentation"]],
        data.train_labels,
        (data.validation[backbone], data.validation_labels),
        lambda labels, probabilities: objective_score(objective, labels, probabilities),
    )
    accuracy = float(np.mean(head.probabilities.argmax(axis=1) == data.validation_labels))
    return TrialResult(head.score, accuracy, head.epochs, time.perf_counter() - started)
