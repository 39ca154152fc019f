"""What a random split would have pretended: the accuracy that shared groups add when they stand on both sides."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from automl_cnn.audit.ensemble import principal_components
from automl_cnn.audit.folds import grouped_folds
from automl_cnn.progress import Progress, silent
from automl_cnn.split.problem import take_turns

FOLDS, REPEATS = 5, 3
COMPONENTS = 256  # principal components kept of the standardised embeddings
# C of the logistic regression, the one with the best accuracy on grouped folds: .811 on clothing and .763 on
# magnetic-tile; C = .01 gives .810 and .763, C = .1 .781 and .753, C = .001 .800 and .757. A laxer probe remembers more
# and makes the price higher: on magnetic-tile 19 points at .1, 15 at .01, 12 at .003, 8 at .001.
REGULARIZATION = 0.003
LARGEST = 4000  # images; of more, groups are drawn, so that the price takes seconds whatever the size
Embed = Callable[[NDArray[np.intp]], NDArray[np.floating]]
_RESAMPLES, _CONFIDENCE = 1000, 0.95


@dataclass(frozen=True)
class LeakPrice:
    """What `measure_leak_price` found; accuracies are shares, the price is in points of a hundredth.

    Attributes:
        points: by how much random folds overstate accuracy.
        low: lower end of the 95 % interval of `points`.
        high: its upper end.
        accuracy_random: mean over the repeats, images dealt to folds at random.
        accuracy_grouped: the same, whole groups dealt to folds.
        images: how many were looked at.
        groups: how many they form.
        repeats: how often both were measured; 0 where nothing had to be.
        sentence: all of it in one line.
    """

    points: float
    low: float
    high: float
    accuracy_random: float | None
    accuracy_grouped: float | None
    images: int
    groups: int
    repeats: int
    sentence: str


def measure_leak_price(
    embed: Embed,
    labels: NDArray[np.object_],
    groups: NDArray[np.object_],
    seed: int,
    progress: Progress = silent,
) -> LeakPrice:
    """Cross-validate one probe on random folds and on folds of whole groups, and compare.

    The probe is a regularised logistic regression on frozen embeddings. Random folds are stratified and as large as
    the grouped ones; every repeat deals both anew. The interval resamples groups, the difference paired by image.

    Args:
        embed: gives the embeddings of some of the n images, float [chosen, d]; called once, or not at all. The images
            are those of train and validation, never of the test split.
        labels: text [n].
        groups: text [n].
        seed: of the folds and the resampling.
        progress: told after every fold.
    """
    names, group_of = np.unique(groups.astype(str), return_inverse=True)
    classes, given = np.unique(labels.astype(str), return_inverse=True)
    group_of, given = group_of.reshape(-1), given.reshape(-1)
    count = len(np.unique(group_of))
    if count == len(given):
        return _free(len(given), "Every image stands alone: a random split would have leaked nothing.")
    if count < 2 or len(classes) < 2:
        return _free(len(given), "With one group or one class there is no price of a leak to measure.")
    rng = np.random.default_rng(seed)
    chosen = _draw_groups(group_of, rng) if len(given) > LARGEST else np.arange(len(given))
    given, group_of = given[chosen], group_of[chosen]
    count = len(np.unique(group_of))
    with threadpool_limits(1):  # the same sums on any number of cores
        values = principal_components(np.asarray(embed(chosen), np.float32), COMPONENTS)
    folds = min(FOLDS, count)
    right = np.zeros((2, len(given)))
    for repeat in range(REPEATS):
        grouped = grouped_folds(given, names[group_of], folds, rng)
        arms = (_random_folds(given, np.bincount(grouped, minlength=folds), rng), grouped)
        for arm, fold_of in enumerate(arms):
            for fold in range(folds):
                right[arm, fold_of == fold] += _judge(values, given, fold_of == fold)
                progress("price of a leak", (repeat * 2 + arm) * folds + fold + 1, REPEATS * 2 * folds)
    right /= REPEATS
    low, high = _interval(right[0] - right[1], group_of, rng)
    return _tell(right[0].mean(), right[1].mean(), low, high, len(given), count)


def _draw_groups(group_of: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Groups in random order as long as they fit; the rows of what was drawn, at most LARGEST.

    A group that is larger than half of that is thinned to half, so that there are always two.
    """
    shuffled = rng.permutation(len(group_of))
    members = shuffled[np.argsort(group_of[shuffled], kind="stable")]
    _, starts, sizes = np.unique(group_of[members], return_index=True, return_counts=True)
    sizes = np.minimum(sizes, LARGEST // 2)
    drawn, left = [], LARGEST
    for number in rng.permutation(len(sizes)).tolist():
        if sizes[number] <= left:
            left -= int(sizes[number])
            drawn.append(members[starts[number] : starts[number] + sizes[number]])
    return np.sort(np.concatenate(drawn))


def _random_folds(given: NDArray[np.int64], sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal single images to folds of the given sizes, every class spread evenly."""
    shuffled = rng.permutation(len(given))
    by_class = shuffled[np.argsort(given[shuffled], kind="stable")]
    fold_of = np.empty(len(given), np.int64)
    fold_of[by_class] = take_turns(sizes)
    return fold_of


def _judge(values: NDArray[np.float32], given: NDArray[np.int64], held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Learn from the images that are not held out: whether each held-out image is named rightly."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    learned = np.unique(given[~held])
    if len(learned) < 2:
        return np.asarray(given[held] == learned[:1].sum())
    model = LogisticRegression(C=REGULARIZATION, max_iter=100, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for counting
        with threadpool_limits(1):  # products this small: BLAS threads wait for each other
            model.fit(values[~held], given[~held])
            return np.asarray(model.predict(values[held]) == given[held])


def _interval(
    difference: NDArray[np.float64], group_of: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    """Bootstrap over groups: the ends of the interval of the mean difference."""
    _, group = np.unique(group_of, return_inverse=True)
    sizes = np.bincount(group.reshape(-1))
    sums = np.bincount(group.reshape(-1), weights=difference)
    means = np.empty(_RESAMPLES)
    for number in range(_RESAMPLES):
        drawn = rng.integers(0, len(sizes), len(sizes))
        means[number] = sums[drawn].sum() / sizes[drawn].sum()
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _free(images: int, sentence: str) -> LeakPrice:
    return LeakPrice(0.0, 0.0, 0.0, None, None, images, images, 0, sentence)


def _tell(random: float, grouped: float, low: float, high: float, images: int, groups: int) -> LeakPrice:
    points = 100 * (random - grouped)
    low, high = 100 * low, 100 * high
    between = f"{100 * random:.1f} % on random folds, {100 * grouped:.1f} % on folds of whole groups"
    if low > 0:
        said = f"A random split would have overstated accuracy by about {points:.1f} points"
    else:
        # adding 0 makes of −0.0 a 0.0
        said = f"A random split would not have overstated accuracy measurably: {round(points, 1) + 0:.1f} points"
    sentence = f"{said} (95 % interval {low:.1f} to {high:.1f}): {between}."
    return LeakPrice(
        round(points, 2), round(low, 2), round(high, 2), round(random, 4), round(grouped, 4), images, groups, REPEATS,
        sentence,
    )  # fmt: skip
