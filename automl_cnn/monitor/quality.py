"""How good the answers were whose true labels have arrived."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from automl_cnn.monitor.sample import FOREIGN, UNKNOWN, Sample

_BINS = 10


@dataclass(frozen=True)
class Quality:
    """Scores of the labelled answers beside those on the reference; all but the counts in 0…1.

    Attributes:
        labelled: images whose true label has arrived; `foreign` of them have one that the model does not know.
        accuracy: share right, `low` to `high` its 95 % interval; a foreign label is never right.
        confidence: mean; above the accuracy where the model is too sure.
        ece: expected calibration error over ten bins.
    """

    labelled: int
    foreign: int
    accuracy: float
    low: float
    high: float
    confidence: float
    ece: float
    reference_accuracy: float
    reference_confidence: float
    reference_ece: float


def quality_of(reference: Sample, live: Sample) -> Quality | None:
    """Score what can be scored; None where no true label has arrived.

    Source: Wilson 1927 for the interval; Guo et al. 2017, equation 3, for the calibration error.
    """
    told = live.rows(live.answers != UNKNOWN)
    if not len(told):
        return None
    right, right_before = told.predicted == told.answers, reference.predicted == reference.answers
    interval = binomtest(int(right.sum()), len(told)).proportion_ci(0.95, "wilson")
    return Quality(
        labelled=len(told),
        foreign=int((told.answers == FOREIGN).sum()),
        accuracy=float(right.mean()),
        low=float(interval.low),
        high=float(interval.high),
        confidence=float(told.confidence.mean()),
        ece=_calibration_error(told.confidence, right),
        reference_accuracy=float(right_before.mean()),
        reference_confidence=float(reference.confidence.mean()),
        reference_ece=_calibration_error(reference.confidence, right_before),
    )


def _calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    number = np.clip(np.ceil(confidence * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    gaps = np.bincount(number, weights=right - confidence, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(right))
