"""How labels went wrong: a table of which class is written for which, learned together with the labels themselves.

The model: an image's true class follows softmax(slope · log p + offset), p out-of-fold; its label is then drawn from
the true class's row of a transition table. A classifier that is unsure errs near its boundary, a wrong label stands
anywhere; that is what tells them apart, and the slope is fitted with the table. The score follows from Bayes' rule: how
probable is another true class, given the picture and the label that was written.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_cnn.audit.calibration import apply_slope, fit_slope

ROUNDS = 60
# Unsure of everything or sure of nearly everything: both explain the labels, and learning ends near where it began.
START_SLOPES = (1.0, 3.0)
FIRST_ROUNDS = 8
# Before any error is seen, this share of a mean class is taken as wrong in every way alike. More is better for errors
# that stand anywhere, less for errors between similar classes; a fixed number of images does not suit small sets.
SHAPE_SHARE = 0.1
RATE_IMAGES = 300.0  # images a class that are taken to be wrong as often as those of other classes
LOWEST_RATE = 0.01  # of wrong labels while images are ranked: a set without any still has a first one
HIGHEST_RATE = 0.6  # in one class
_START_RATE = 0.1
_SMALLEST = 1e-6  # probabilities below are not told apart
_STILL = 1e-5  # mean change of belief at which learning ends


@dataclass(frozen=True)
class NoiseModel:
    """What was learned of the labels' errors.

    Attributes:
        clean: float64 [n, K], probability of each true class from the picture alone.
        belief: float64 [n, K], the same once the written label is known.
        transition: float64 [K, K], row: true class, column: label written.
        log_likelihood: of the written labels.
    """

    clean: NDArray[np.float64]
    belief: NDArray[np.float64]
    transition: NDArray[np.float64]
    log_likelihood: float

    def p_wrong(self, given: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probability that each label is wrong, float64 [n]."""
        others = self.belief.copy()
        others[np.arange(len(given)), given] = 0
        wrong: NDArray[np.float64] = others.sum(axis=1)
        return wrong


def fit_noise(
    probabilities: NDArray[np.float64],
    given: NDArray[np.int64],
    lowest_rate: float = LOWEST_RATE,
    total_rate: float | None = None,
    rounds: int = ROUNDS,
) -> NoiseModel:
    """Learn the transition table, the slope and the belief about each label by expectation and maximisation.

    Args:
        probabilities: float64 [n, K], out-of-fold; rows add up to 1.
        given: int64 [n], the written class.
        lowest_rate: share of wrong labels that is assumed at least.
        total_rate: share of wrong labels that is taken as known; None: learned.
        rounds: at most.
    Source: Dawid and Skene 1979 for the table; Patrini et al. 2017 (forward correction) for learning through it.
    """
    scores = np.log(np.maximum(probabilities, _SMALLEST))
    runs = [_learn(scores, given, slope, lowest_rate, total_rate, FIRST_ROUNDS) for slope in START_SLOPES]
    _, slope = max(runs, key=lambda run: run[0].log_likelihood)
    return _learn(scores, given, slope, lowest_rate, total_rate, rounds)[0]


def _learn(
    scores: NDArray[np.float64],
    given: NDArray[np.int64],
    slope: float | NDArray[np.float64],
    lowest_rate: float,
    total_rate: float | None,
    rounds: int,
) -> tuple[NoiseModel, NDArray[np.float64]]:
    """The model, and the slope and offsets with which to go on."""
    classes = scores.shape[1]
    start = _START_RATE if total_rate is None else total_rate
    transition = np.full((classes, classes), start / (classes - 1))
    np.fill_diagonal(transition, 1 - start)
    slopes = np.r_[slope, np.zeros(classes)] if isinstance(slope, float) else slope
    model = _believe(apply_slope(scores, slopes), transition, given)
    for _ in range(rounds):
        transition = _learn_transition(model.belief, given, lowest_rate, total_rate)
        slopes = fit_slope(scores, model.belief, slopes, steps=3)
        before, model = model.belief, _believe(apply_slope(scores, slopes), transition, given)
        if np.abs(model.belief - before).sum(axis=1).mean() < _STILL:
            break
    return model, slopes


def _believe(clean: NDArray[np.float64], transition: NDArray[np.float64], given: NDArray[np.int64]) -> NoiseModel:
    joint = clean * transition[:, given].T
    total = joint.sum(axis=1, keepdims=True)
    return NoiseModel(clean, joint / total, transition, float(np.log(total).sum()))


def _learn_transition(
    belief: NDArray[np.float64], given: NDArray[np.int64], lowest_rate: float, total_rate: float | None
) -> NDArray[np.float64]:
    """Rows of the table from expected counts, drawn towards even errors and towards one rate for all classes."""
    classes = belief.shape[1]
    counts = np.zeros((classes, classes))
    np.add.at(counts.T, given, belief)
    images = counts.sum(axis=1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    rate = max(float(wrong.sum()) / len(given), lowest_rate)
    rates = (wrong.sum(axis=1) + RATE_IMAGES * rate) / (images + RATE_IMAGES)
    if total_rate is not None:
        rates *= total_rate / max(float(rates @ images) / len(given), _SMALLEST)
    rates = np.clip(rates, 0, HIGHEST_RATE)
    shape = wrong + SHAPE_SHARE * len(given) / classes / (classes - 1)
    np.fill_diagonal(shape, 0)
    transition: NDArray[np.float64] = rates[:, None] * shape / shape.sum(axis=1, keepdims=True)
    np.fill_diagonal(transition, 1 - rates)
    return transition
