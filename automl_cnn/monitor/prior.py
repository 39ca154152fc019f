"""How frequent each class is among the live images, seen through a classifier that errs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_cnn.monitor.sample import Sample

_CONFIDENCE, _RESAMPLES = 0.95, 300
_FLOOR = 1 / 512  # half a step of an int8 file's probabilities, whose 0 means anything below it
_ROUNDS = 200
_STILL = 1e-5


@dataclass(frozen=True)
class ClassShare:
    """Shares of one class, 0…1: true in the reference; answered live; estimated live with its 95 % interval."""

    label: str
    reference: float
    predicted: float
    estimated: float
    low: float
    high: float


def class_shares(reference: Sample, live: Sample, labels: tuple[str, ...], seed: int) -> tuple[ClassShare, ...]:
    """Shares of all classes, in the order of `labels`; of one image or more."""
    counts = np.bincount(reference.answers, minlength=len(labels)).astype(np.float64)
    estimated = estimate_shares(live.probabilities, reference_shares(counts))
    intervals = share_intervals(
        live.probabilities, reference.answers, reference.groups,
        confidence=_CONFIDENCE, resamples=_RESAMPLES, seed=seed,
    )  # fmt: skip
    predicted = np.bincount(live.predicted, minlength=len(labels)) / len(live)
    shares = np.stack([counts / counts.sum(), predicted, estimated, intervals[:, 0], intervals[:, 1]], axis=1)
    return tuple(ClassShare(label, *row) for label, row in zip(labels, shares.tolist(), strict=True))


def estimate_shares(probabilities: NDArray[np.float32], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class shares of some images by expectation maximization, where only the shares have changed and not the looks.

    Args:
        probabilities: float32 [n, classes], calibrated on images with the shares `prior`; n ≥ 1.
        prior: float64 [classes], adds up to one.
    Returns:
        float64 [classes], adds up to one.
    Source: Saerens et al. 2002; Alexandari et al. 2020, that on calibrated probabilities it beats confusion matrices.
    """
    everyone = np.ones((1, len(probabilities)))
    return np.asarray(_shares_of_draws(everyone, probabilities, prior[None])[0])


def share_intervals(
    live: NDArray[np.float32],
    answers: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> NDArray[np.float64]:
    """Percentile intervals of `estimate_shares`, over draws of live images and of reference groups.

    Args:
        live: float32 [n, classes].
        answers: int64 [v], true classes of the reference.
        groups: int64 [v].
        confidence: 0…1.
    Returns:
        float64 [classes, 2]: low and high.
    """
    rng = np.random.default_rng(seed)
    n, classes = live.shape
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
    _, group = np.unique(groups, return_inverse=True)
    counts = np.zeros((int(group.max()) + 1, classes))
    np.add.at(counts, (group, answers), 1)
    priors = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=resamples) @ counts
    shares = _shares_of_draws(drawn, live, reference_shares(priors))
    tail = (1 - confidence) / 2
    return np.asarray(np.quantile(shares, [tail, 1 - tail], axis=0).T)


def reference_shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class shares from counts [..., classes]; half an image is added to each, so that none is impossible."""
    more = counts + 0.5
    return np.asarray(more / more.sum(axis=-1, keepdims=True))


def _shares_of_draws(
    times: NDArray[np.float64], probabilities: NDArray[np.float32], priors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """EM on several draws of the same images: times [draws, n], priors [draws, classes] → [draws, classes]."""
    likelihood = np.maximum(probabilities.astype(np.float64), _FLOOR)
    shares = priors.copy()
    for _ in range(_ROUNDS):
        weight = shares / priors  # (draws, classes)
        # Σ over images of times · likelihood · weight / Σ over classes of likelihood · weight, as two products
        normal = times / (weight @ likelihood.T)  # (draws, n)
        renewed = weight * (normal @ likelihood)
        renewed /= renewed.sum(axis=1, keepdims=True)
        moved = float(np.abs(renewed - shares).max())
        shares = renewed
        if moved < _STILL:
            break
    return shares
