"""How sure a score is: a percentile bootstrap over groups, so that ten photos of one patient count as one draw.

Every metric here is a function of sums over images, so a resample is a product of two matrices and 2,000 of them take
well under a second. Two models scored with the same seed meet the same resamples: their difference is a paired one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from automl_cnn.evaluate.metrics import confidence_bins, label_losses

DRAWS_AT_ONCE = 4_000_000  # group draws held in memory together: 32 MB


def bootstrap_scores(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    groups: NDArray[np.int64],
    *,
    resamples: int,
    bins: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Score `resamples` draws of whole groups with replacement.

    Args:
        labels: int64 [n], indices of classes.
        probabilities: float32 [n, classes] in 0…1.
        groups: int64 [n], 0 … groups − 1, every value present; images of a group are drawn together.
        resamples: number of draws.
        bins: as in `score_probabilities`.
        seed: the same seed and groups give the same draws, whatever the probabilities.
    Returns:
        accuracy, balanced_accuracy, macro_f1, log_loss and ece, float64 [resamples] each.
    Source: Efron and Tibshirani 1993, chapters 8.6 (groups as units) and 13.3 (percentile interval).
    """
    n_groups, n_classes = int(groups.max()) + 1, probabilities.shape[1]
    sums = sums_by_group(labels, probabilities, groups, bins)
    rng = np.random.default_rng(seed)
    at_once = max(1, DRAWS_AT_ONCE // n_groups)
    parts = []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        parts.append(scores_of(sums @ _draw(rng, count, n_groups), n_classes, bins))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def score_all_once(
    labels: NDArray[np.int64], probabilities: NDArray[np.float32], groups: NDArray[np.int64], *, bins: int
) -> dict[str, float]:
    """The bootstrap's own arithmetic on the images as they are; equals `score_probabilities`."""
    sums = sums_by_group(labels, probabilities, groups, bins)
    once = np.ones((sums.shape[1], 1))
    return {name: float(value[0]) for name, value in scores_of(sums @ once, probabilities.shape[1], bins).items()}


def share_interval(
    samples: NDArray[np.float64],
    point: float,
    n_groups: int,
    confidence: float,
    *,
    low: float = 0.0,
    high: float = 1.0,
) -> list[float]:
    """The percentile interval of a share, or of another score that has bounds.

    Args:
        samples: float64 [resamples], as from `bootstrap_scores`, or the difference of two of them.
        point: the score on the images as they are.
        n_groups: units that were drawn.
        confidence: share of draws inside the interval, 0…1.
        low, high: least and greatest possible value: 0 and 1 of a share, −1 and 1 of a difference of two.
    Returns:
        [low, high]. One group alone says nothing: the whole range. Of a share of exactly 0 or 1 every draw is the same;
        there the exact binomial bound over groups takes the bootstrap's place.
    Source: Clopper and Pearson 1934, for the bound.
    """
    tail = (1 - confidence) / 2
    if n_groups < 2:
        return [low, high]
    if (low, high) == (0.0, 1.0) and point in (0.0, 1.0):
        reach = 1 - tail ** (1 / n_groups)
        return [1 - reach, 1.0] if point else [0.0, reach]
    bounds = np.quantile(samples, [tail, 1 - tail])
    return [float(bounds[0]), float(bounds[1])]


def _draw(rng: np.random.Generator, count: int, n_groups: int) -> NDArray[np.float64]:
    """How often each group is drawn: float64 [groups, draws]."""
    drawn = rng.integers(0, n_groups, size=(count, n_groups))
    offset = np.arange(count)[:, None] * n_groups
    times = np.bincount((drawn + offset).ravel(), minlength=count * n_groups)
    return times.reshape(count, n_groups).T.astype(np.float64)


def sums_by_group(
    labels: NDArray[np.int64], probabilities: NDArray[np.float32], groups: NDArray[np.int64], bins: int
) -> sparse.csr_array:
    """What every metric is made of, summed a group.

    Args:
        labels, probabilities, groups, bins: as in `bootstrap_scores`.
    Returns:
        Sparse [3 · classes + 3 · bins + 1, groups]; rows are hits, labels and predictions a class; images, confidence
        and hits a bin; log loss.
    """
    n_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    hit = (predicted == labels).astype(np.float64)
    confidence = probabilities.max(axis=1).astype(np.float64)
    binned, one = confidence_bins(confidence, bins), np.ones(len(labels))
    first_bin = 3 * n_classes
    entries = [
        (labels, hit),
        (n_classes + labels, one),
        (2 * n_classes + predicted, one),
        (first_bin + binned, one),
        (first_bin + bins + binned, confidence),
        (first_bin + 2 * bins + binned, hit),
        (np.full(len(labels), first_bin + 3 * bins), label_losses(labels, probabilities)),
    ]
    rows = np.concatenate([row for row, _ in entries])
    values = np.concatenate([value for _, value in entries])
    shape = (first_bin + 3 * bins + 1, int(groups.max()) + 1)
    return sparse.coo_array((values, (rows, np.tile(groups, len(entries)))), shape=shape).tocsr()


def scores_of(sums: NDArray[np.float64], n_classes: int, bins: int) -> dict[str, NDArray[np.float64]]:
    """Metrics from sums [3 · classes + 3 · bins + 1, draws], one value a draw."""
    hits, given, predicted = sums[:n_classes], sums[n_classes : 2 * n_classes], sums[2 * n_classes : 3 * n_classes]
    _, confidence, binned_hits = sums[3 * n_classes : -1].reshape(3, bins, -1)
    total = given.sum(axis=0)
    occurs, either = given > 0, (given + predicted) > 0
    recall = hits / np.maximum(given, 1)
    f1 = 2 * hits / np.maximum(given + predicted, 1)
    return {
        "accuracy": hits.sum(axis=0) / total,
        "balanced_accuracy": recall.sum(axis=0) / occurs.sum(axis=0),
        "macro_f1": f1.sum(axis=0) / either.sum(axis=0),
        "log_loss": sums[-1] / total,
        "ece": np.abs(binned_hits - confidence).sum(axis=0) / total,
    }
