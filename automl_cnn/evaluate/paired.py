"""Is B better than A: two models on the same images, group by group, and whether the test set can tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from automl_cnn.evaluate.intervals import (
    DRAWS_AT_ONCE,
    LOG_LOSS_ROW,
    MEANS_OVER_CLASSES,
    bootstrap_scores,
    scarcest_groups,
    scores_of,
    share_interval,
    sums_by_group,
)
from automl_cnn.evaluate.metrics import PROBABILITY_FLOOR

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
IN_WORDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
POWER = 0.80
_ONE_BIN = 1  # the calibration error is not compared
_SAME = 1e-9  # two statistics that differ by less are equal: sums of floats in another order

Verdict = Literal["better", "worse", "too_small_to_tell"]


@dataclass(frozen=True)
class Difference:
    """Second − first of one metric.

    Attributes:
        value: on the images as they are; −1…1, of log_loss in nats, where less is better.
        low, high: the interval of `value`.
        p_value: of the hypothesis that it does not matter which of the two models answers, 0…1, two-sided.
    """

    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """What `compare_paired` found.

    Attributes:
        n: images.
        groups: units that were drawn.
        confidence: of the intervals, 0…1.
        differences: of accuracy, balanced_accuracy, macro_f1 and log_loss.
        verdict: on the second model's accuracy: better or worse only where the interval leaves out 0 and the
            permutation test agrees.
        changed: int64 [k], rows of the images whose predicted class differs.
        detectable: the difference of accuracy, 0…1, that a test set like this shows four times out of five; not less
            than one that was found and not shown.
        images_needed: of the same kind, to show a difference like the one that was found as often; more than n where
            it was not shown; None where none was found.
    """

    n: int
    groups: int
    confidence: float
    differences: Mapping[str, Difference]
    verdict: Verdict
    changed: NDArray[np.int64]
    detectable: float
    images_needed: int | None

    def verdict_on(self, metric: str) -> Verdict:
        """As `verdict`, on one of `IN_WORDS`."""
        return _verdict(self.differences[metric], self.confidence)

    def sentence(self, first: str = "the first", second: str = "the second", metric: str = "accuracy") -> str:
        """All of it in a line or two, for a person who decides.

        Args:
            first, second: what the models are called.
            metric: one of `IN_WORDS`; what the test set can show is said of accuracy all the same.
        """
        found, verdict = self.differences[metric], self.verdict_on(metric)
        in_groups = f" in {self.groups:,} groups" if self.groups != self.n else ""
        images = f"{self.n:,} images{in_groups}"
        if not len(self.changed):
            return f"{_capital(second)} gives every one of {images} the same class as {first}: nothing to tell apart."
        figures = (
            f"{100 * found.value:+.1f} points of {IN_WORDS[metric]} ({100 * self.confidence:g} % interval "
            f"{100 * found.low:+.1f} to {100 * found.high:+.1f}, p {found.p_value:.3f}) on {images}"
        )
        if verdict != "too_small_to_tell":
            return f"{_capital(second)} is {verdict} than {first}: {figures}."
        of_which = "" if metric == "accuracy" else " of accuracy"
        shows = f"It would show one of about {100 * self.detectable:.1f} points{of_which} (80 % power)"
        if self.images_needed is not None and metric == "accuracy":
            shows += f"; this one takes about {_round_up(self.images_needed):,} images"
        return f"The test set is too small to tell {second} from {first}: {figures}. {shows}."


def compare_paired(
    labels: NDArray[np.int64],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    groups: NDArray[np.int64],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Comparison:
    """Compare two models that answered the same images.

    Args:
        labels: int64 [n], indices of classes; n ≥ 1.
        first, second: float32 [n, classes], probabilities in 0…1 of the two models.
        groups: int64 [n], 0 … groups − 1, every value present; images of a group are drawn and swapped together.
        resamples: draws of the bootstrap, and swaps of the permutation test where they are too many to try them all.
        confidence: of the intervals, 0…1; 1 − confidence is the level of the test.
        seed: of both.
    Raises:
        ValueError: the two have answered different numbers of images or classes.
    Source: Efron and Tibshirani 1993, chapters 13.3 and 15.2; with single images and accuracy the permutation test is
        McNemar's exact one.
    """
    if first.shape != second.shape or len(first) != len(labels):
        raise ValueError(f"probabilities of shape {first.shape} and {second.shape} for {len(labels)} labels")
    n_groups = int(groups.max()) + 1
    draws = _draws(labels, first, second, groups, resamples, seed)
    observed, p_values = _swap_test(labels, first, second, groups, resamples, seed)
    differences = {
        name: Difference(observed[name], *interval, p_values[name])
        for name, interval in _intervals(labels, groups, draws, observed, confidence).items()
    }
    spread = float(np.std(draws["accuracy"]))
    said = [given.argmax(axis=1) for given in (first, second)]
    won = np.zeros(n_groups)
    np.add.at(won, groups, (said[1] == labels).astype(np.float64) - (said[0] == labels))
    verdict = _verdict(differences["accuracy"], confidence)
    detectable, needed = _power(won, len(labels), spread, confidence, verdict)
    return Comparison(
        n=len(labels),
        groups=n_groups,
        confidence=confidence,
        differences=differences,
        verdict=verdict,
        changed=np.flatnonzero(said[0] != said[1]).astype(np.int64),
        detectable=detectable,
        images_needed=needed,
    )


def paired_intervals(
    labels: NDArray[np.int64],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    groups: NDArray[np.int64],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """The intervals of `compare_paired` alone, without its tests: METRICS → low and high of second − first."""
    totals = [
        scores_of(np.asarray(sums_by_group(labels, given, groups, _ONE_BIN).sum(axis=1)).reshape(-1, 1),
                  given.shape[1], _ONE_BIN)
        for given in (first, second)
    ]  # fmt: skip
    observed = {name: float(totals[1][name][0] - totals[0][name][0]) for name in METRICS}
    return _intervals(labels, groups, _draws(labels, first, second, groups, resamples, seed), observed, confidence)


def _draws(
    labels: NDArray[np.int64],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    groups: NDArray[np.int64],
    resamples: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Second − first of every metric on the same draws of groups: float64 [resamples] each."""
    samples = [
        bootstrap_scores(labels, given, groups, resamples=resamples, bins=_ONE_BIN, seed=seed)
        for given in (first, second)
    ]
    return {name: samples[1][name] - samples[0][name] for name in METRICS}


def _intervals(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    draws: Mapping[str, NDArray[np.float64]],
    observed: Mapping[str, float],
    confidence: float,
) -> dict[str, tuple[float, float]]:
    n_groups, scarcest = int(groups.max()) + 1, scarcest_groups(labels, groups)
    found = {}
    for name, samples in draws.items():
        reach = -math.log(PROBABILITY_FLOOR) if name == "log_loss" else 1.0
        low, high = share_interval(
            samples, observed[name], n_groups, confidence, low=-reach, high=reach,
            scarcest=scarcest if name in MEANS_OVER_CLASSES else None,
        )  # fmt: skip
        found[name] = (low, high)
    return found


def _verdict(found: Difference, confidence: float) -> Verdict:
    """The interval of a handful of groups is too narrow, so the permutation test has to agree."""
    if found.p_value > 1 - confidence or found.low <= 0 <= found.high:
        return "too_small_to_tell"
    return "better" if found.value > 0 else "worse"


def _power(
    won: NDArray[np.float64], n: int, spread: float, confidence: float, verdict: Verdict
) -> tuple[float, int | None]:
    """What n images can show, and how many it takes to show what was found.

    The standard error alone promises too much of a handful of groups: where u of them tell the models apart the swap
    test's p value is at least 2 / 2^u, so that below some u nothing is shown however large the difference is.

    Args:
        won: float64 [groups], hits of the second model − hits of the first.
    """
    by_spread, found = _detectable(spread, len(won), confidence), abs(float(won.sum())) / n
    apart, least = int(np.count_nonzero(won)), math.ceil(1 - math.log2(1 - confidence))
    missed = verdict == "too_small_to_tell"
    detectable = max(by_spread, found) if missed else by_spread
    if apart < least:
        each = float(np.abs(won).sum()) / n / apart if apart else 1 / len(won)  # what one such group weighs
        detectable = max(detectable, least * each)
    if found <= _SAME:
        return min(1.0, detectable), None
    needed = max(math.ceil(n * (by_spread / found) ** 2) if spread > 0 else 0, math.ceil(n * least / apart))
    return min(1.0, detectable), max(needed, n + 1) if missed else needed


def _detectable(spread: float, n_groups: int, confidence: float) -> float:
    """The difference of which the test at this level misses one in five; `spread` is its standard error.

    Where no group told the models apart the standard error is unknown: it is at most that of the largest share of
    groups that may do so and yet be missed by all.
    """
    tail = (1 - confidence) / 2
    if spread == 0:
        spread = math.sqrt((1 - tail ** (1 / n_groups)) / n_groups)
    return float(min(1.0, (stats.norm.isf(tail) + stats.norm.ppf(POWER)) * spread))


def _swap_test(
    labels: NDArray[np.int64],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    groups: NDArray[np.int64],
    resamples: int,
    seed: int,
) -> tuple[dict[str, float], dict[str, float]]:
    """Second − first of every metric, and how often a random swap of the models, group by group, differs as much."""
    n_classes = first.shape[1]
    sums = [sums_by_group(labels, given, groups, _ONE_BIN) for given in (first, second)]
    total = [np.asarray(part.sum(axis=1)).reshape(-1, 1) for part in sums]
    apart = (sums[1] - sums[0]).tocsr()

    def differ(name: str, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """Second − first when `moved` of what sets them apart has changed sides."""
        ends = [scores_of(part, n_classes, _ONE_BIN)[name] for part in (total[0] + moved, total[1] - moved)]
        return np.asarray(ends[1] - ends[0])

    observed, p_values = {}, {}
    hits, predictions, loss = range(n_classes), range(2 * n_classes, 3 * n_classes), [LOG_LOSS_ROW]
    decided_by = {"accuracy": hits, "balanced_accuracy": hits, "macro_f1": [*hits, *predictions], "log_loss": loss}
    for name, rows in decided_by.items():
        observed[name] = float(differ(name, np.zeros_like(total[0]))[0])
        units = np.flatnonzero(np.abs(apart[list(rows)]).sum(axis=0))
        every = 2 ** len(units) <= resamples
        swaps = _all_swaps(len(units)) if every else _random_swaps(len(units), resamples, seed)
        values = np.concatenate([differ(name, apart[:, units] @ part) for part in swaps])
        as_much = int((np.abs(values) >= abs(observed[name]) - _SAME).sum())
        # the images as they are count as one of the random swaps, so that p is never 0
        p_values[name] = as_much / len(values) if every else (as_much + 1) / (len(values) + 1)
    return observed, p_values


def _all_swaps(units: int) -> Iterator[NDArray[np.float64]]:
    """Every way to swap some of the units: [units, 2 ** units] of 0 and 1."""
    yield (np.arange(2**units)[None, :] >> np.arange(units)[:, None] & 1).astype(np.float64)


def _random_swaps(units: int, count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """As many random ways, [units, part] at a time."""
    rng = np.random.default_rng(seed)
    at_once = max(1, DRAWS_AT_ONCE // units)
    for start in range(0, count, at_once):
        yield rng.integers(0, 2, (min(at_once, count - start), units)).T.astype(np.float64)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _round_up(images: int) -> int:
    """Two digits are all that such an estimate is good for."""
    step = int(10 ** max(0, len(str(images)) - 2))
    return math.ceil(images / step) * step
