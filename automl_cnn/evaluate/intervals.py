"""How sure a score is: a percentile bootstrap over groups, so that ten photos of one patient count as one draw.

Every metric here is a function of sums over images, so a resample is a product of two matrices and 2,000 of them take
well under a second. Two models scored with the same seed meet the same resamples: their difference is a paired one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from automl_cnn.evaluate.metrics import brier_losses, confidence_bins, label_losses, label_ranks, top_ks

DRAWS_AT_ONCE = 4_000_000  # group draws held in memory together: 32 MB
LOG_LOSS_ROW, BRIER_ROW = -2, -1  # of the sums
MEANS_OVER_CLASSES = ("balanced_accuracy", "macro_f1")
_SAME = 1e-9  # two draws that differ by less are equal: sums of floats in another order


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
        accuracy, balanced_accuracy, macro_f1, log_loss, brier, ece and top_2 to top_5 as far as there are classes,
        float64 [resamples] each.
    Source: Efron and Tibshirani 1993, chapters 8.6 (groups as units) and 13.3 (percentile interval).
    """
    sums = sums_by_group(labels, probabilities, groups, bins)
    parts = [scores_of(part, probabilities.shape[1], bins) for part in _resampled(sums, resamples, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def bootstrap_classes(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    groups: NDArray[np.int64],
    *,
    resamples: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """The same draws as `bootstrap_scores`, class by class.

    Args:
        labels, probabilities, groups, resamples, seed: as there.
    Returns:
        precision, recall and f1, float64 [classes, resamples] each; NaN in a draw that says nothing of the class.
    """
    n_classes = probabilities.shape[1]
    sums = sums_by_group(labels, probabilities, groups, 1)[: 3 * n_classes]
    parts = [_class_scores(part) for part in _resampled(sums, resamples, seed)]
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def bootstrap_counts(
    kinds: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    groups: NDArray[np.int64],
    n_kinds: int,
    *,
    resamples: int,
    seed: int,
) -> NDArray[np.float64]:
    """Count images of several kinds in the same draws as `bootstrap_scores`, for ratios of two counts.

    Args:
        kinds: int64 [n], 0 … n_kinds − 1, the kind of each image.
        chosen: bool [n], which images count.
        groups, resamples, seed: as there.
        n_kinds: number of kinds.
    Returns:
        float64 [n_kinds, resamples].
    """
    shape = (n_kinds, int(groups.max()) + 1)
    sums = sparse.coo_array((chosen.astype(np.float64), (kinds, groups)), shape=shape).tocsr()
    return np.concatenate(list(_resampled(sums, resamples, seed)), axis=1)


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
    scarcest: int | None = None,
) -> list[float]:
    """The percentile interval of a share, or of another score that has bounds.

    Args:
        samples: float64 [resamples], as from `bootstrap_scores`, or the difference of two of them; NaN are left out.
        point: the score on the images as they are.
        n_groups: units that were drawn.
        confidence: share of draws inside the interval, 0…1.
        low, high: least and greatest possible value: 0 and 1 of a share, −1 and 1 of a difference of two.
        scarcest: of a mean over classes, `scarcest_groups`: it is no surer than what the scarcest class says.
    Returns:
        [low, high]. One group alone says nothing: the whole range. Where every draw is the same (a share of exactly 0
        or 1, two models that are right on the same images) the bootstrap would be certain; the exact binomial bound
        takes its place: on the share of groups that may be otherwise and yet not be among those seen, each of them as
        bad or as good as can be.
    Source: Clopper and Pearson 1934, for the bound.
    """
    tail = (1 - confidence) / 2
    known = samples[np.isfinite(samples)]
    if n_groups < 2 or not len(known):
        return [low, high]
    if np.ptp(known) <= _SAME:
        unseen = 1 - tail ** (1 / (n_groups if scarcest is None else scarcest))
        return [point - unseen * (point - low), point + unseen * (high - point)]
    bounds = np.quantile(known, [tail, 1 - tail])
    return [float(bounds[0]), float(bounds[1])]


def scarcest_groups(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> int:
    """Groups that the class with the fewest of them has; classes that do not occur are left out.

    Args:
        labels, groups: int64 [n], as in `bootstrap_scores`.
    """
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    return int(np.unique(pairs[0], return_counts=True)[1].min())


def _resampled(sums: sparse.csr_array, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Sums a group [rows, groups] → sums a draw [rows, part], until there are `resamples` of them."""
    n_groups = sums.shape[1]
    rng = np.random.default_rng(seed)
    at_once = max(1, DRAWS_AT_ONCE // n_groups)
    for start in range(0, resamples, at_once):
        yield sums @ _draw(rng, min(at_once, resamples - start), n_groups)


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
        Sparse [3 · classes + 3 · bins + tops + 2, groups]; rows are hits, labels and predictions a class; images,
        confidence and hits a bin; images whose label is among the k first, one row a k; log loss; Brier.
    """
    n_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    hit = (predicted == labels).astype(np.float64)
    confidence = probabilities.max(axis=1).astype(np.float64)
    binned, one = confidence_bins(confidence, bins), np.ones(len(labels))
    first_bin = 3 * n_classes
    first_top = first_bin + 3 * bins
    tops, ranks = top_ks(n_classes), label_ranks(labels, probabilities)
    entries = [
        (labels, hit),
        (n_classes + labels, one),
        (2 * n_classes + predicted, one),
        (first_bin + binned, one),
        (first_bin + bins + binned, confidence),
        (first_bin + 2 * bins + binned, hit),
        *((np.full(len(labels), first_top + place), (ranks < k).astype(float)) for place, k in enumerate(tops)),
        (np.full(len(labels), first_top + len(tops)), label_losses(labels, probabilities)),
        (np.full(len(labels), first_top + len(tops) + 1), brier_losses(labels, probabilities)),
    ]
    rows = np.concatenate([row for row, _ in entries])
    values = np.concatenate([value for _, value in entries])
    shape = (first_top + len(tops) + 2, int(groups.max()) + 1)
    return sparse.coo_array((values, (rows, np.tile(groups, len(entries)))), shape=shape).tocsr()


def scores_of(sums: NDArray[np.float64], n_classes: int, bins: int) -> dict[str, NDArray[np.float64]]:
    """Metrics from sums.

    Args:
        sums: float64 [rows, draws], rows as of `sums_by_group`.
        n_classes, bins: as there.
    Returns:
        Name → float64 [draws], the names as of `bootstrap_scores`.
    """
    hits, given, predicted = sums[: 3 * n_classes].reshape(3, n_classes, -1)
    _, confidence, binned_hits = sums[3 * n_classes : 3 * (n_classes + bins)].reshape(3, bins, -1)
    total = given.sum(axis=0)
    occurs, either = given > 0, (given + predicted) > 0
    recall = hits / np.maximum(given, 1)
    f1 = 2 * hits / np.maximum(given + predicted, 1)
    within = sums[3 * (n_classes + bins) : LOG_LOSS_ROW]
    return {
        "accuracy": hits.sum(axis=0) / total,
        "balanced_accuracy": recall.sum(axis=0) / occurs.sum(axis=0),
        "macro_f1": f1.sum(axis=0) / either.sum(axis=0),
        "log_loss": sums[LOG_LOSS_ROW] / total,
        "brier": sums[BRIER_ROW] / total,
        "ece": np.abs(binned_hits - confidence).sum(axis=0) / total,
        **{f"top_{k}": row / total for k, row in zip(top_ks(n_classes), within, strict=True)},
    }


def _class_scores(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Scores a class from sums [3 · classes, draws]."""
    hits, given, predicted = sums.reshape(3, len(sums) // 3, -1)
    pairs = {"precision": (hits, predicted), "recall": (hits, given), "f1": (2 * hits, given + predicted)}
    return {name: np.where(below > 0, above / np.maximum(below, 1), np.nan) for name, (above, below) in pairs.items()}
