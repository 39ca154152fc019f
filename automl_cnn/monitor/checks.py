"""The checks of one window against the reference, and the one false-alarm rate that they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from automl_cnn.monitor.permutation import (
    Assignments,
    Measure,
    assign,
    chi_square,
    clumps,
    design_effect,
    energy_distance,
    euclidean,
    holm,
    increase,
    kolmogorov_smirnov,
    p_value,
    squares,
    stability_index,
)
from automl_cnn.monitor.sample import UNKNOWN, Sample
from automl_cnn.reference.statistics import STATISTICS

BINS = 10
NEARLY_ALL = 0.95  # of a window that is labelled: what is missing then cannot matter much
_CHOSEN_P = 0.05  # at or below it the labelled images are not like the rest
FEWEST_LABELS = 20  # below which accuracy is not tested
_BARS = 24
_MOST_EFFECT = 8.0  # of clumps: a camera that is stuck on one picture is to alarm, though it is one clump
_AT_ONCE = 8_000_000  # cells of assignments in memory together


@dataclass(frozen=True)
class Histogram:
    """Shares of the images between `edges`, of both sides; the outer bins hold what lies beyond them."""

    edges: tuple[float, ...]
    reference: tuple[float, ...]
    live: tuple[float, ...]


@dataclass(frozen=True)
class Check:
    """One test.

    Attributes:
        name: what was compared: one of STATISTICS, confidence, strangeness, features, classes, abstentions, strangers,
            errors or overconfidence.
        measure: ks, energy, chi_square or increase.
        reference, live: mean of what was compared; None where it is no single number.
        value: of the measure.
        psi: population stability index, where there is one; `psi_by_chance` is not exceeded by 95 % of equal windows.
        effect: design effect of the difference, 1 or more: how many times more it scatters because images come in
            groups.
        varies: the images are not all alike in it.
        biased: it is of labelled images that are not like the rest, so it is told and cannot alarm.
        p_value: of this test alone.
        p_adjusted: to be held against the overall false-alarm rate.
        alarm: p_adjusted is at or below it.
        histogram: of what is a number an image.
    """

    name: str
    measure: str
    reference: float | None
    live: float | None
    value: float
    psi: float | None
    psi_by_chance: float | None
    p_value: float
    histogram: Histogram | None = None
    effect: float = 1.0
    varies: bool = True
    biased: bool = False
    p_adjusted: float = 1.0
    alarm: bool = False

    @property
    def judged(self) -> bool:
        """It can alarm, and so counts among those that share alpha."""
        return self.varies and not self.biased


def compare(
    reference: Sample,
    live: Sample,
    ood_threshold: float,
    *,
    labelled: Sample | None = None,
    alpha: float,
    permutations: int,
    seed: int,
) -> list[Check]:
    """Test every property of the live images against the reference.

    Args:
        reference, live: two images or more each.
        labelled: those of the window whose true label has arrived; of `live` where none are given.
        ood_threshold: score above which an image counts as a stranger.
        alpha: probability of one false alarm or more when nothing has changed, 0…1.
        permutations: of each test.
    Returns:
        The checks in a fixed order. Errors and overconfidence are there once FEWEST_LABELS true labels are; errors
        are biased where the labelled images are not like the rest.
    """
    live = replace(live, groups=clumps(live.sketches, reference.sketches, reference.groups))
    shuffled = assign(len(reference), len(live), permutations, seed)
    checks = list(_of_all(reference, live, ood_threshold, shuffled))
    labelled = live.rows(live.answers != UNKNOWN) if labelled is None else labelled
    if len(labelled) >= FEWEST_LABELS:
        labelled = replace(labelled, groups=clumps(labelled.sketches, reference.sketches, reference.groups))
        errors, overconfidence = _of_labelled(reference, labelled, permutations, seed)
        checks += [replace(errors, biased=_are_chosen(live, labelled, permutations, seed)), overconfidence]
    adjusted = iter(holm(np.array([check.p_value for check in checks if check.judged])))
    judged = [replace(check, p_adjusted=float(next(adjusted))) if check.judged else check for check in checks]
    return [replace(check, alarm=check.p_adjusted <= alpha) for check in judged]


def _of_all(reference: Sample, live: Sample, ood_threshold: float, shuffled: Assignments) -> Iterator[Check]:
    sides = (reference, live)
    for column, name in enumerate(STATISTICS):
        yield _distribution(name, reference.statistics[:, column], live.statistics[:, column], sides, shuffled)
    yield _distribution("confidence", reference.confidence, live.confidence, sides, shuffled)
    yield _distribution("strangeness", reference.ood_scores, live.ood_scores, sides, shuffled)
    yield _features(reference, live, shuffled)
    yield _classes(reference, live, shuffled)
    yield _increase("abstentions", reference.abstained, live.abstained, sides, shuffled)
    strange = (reference.ood_scores > ood_threshold, live.ood_scores > ood_threshold)
    yield _increase("strangers", *strange, sides, shuffled)


def _are_chosen(live: Sample, labelled: Sample, permutations: int, seed: int) -> bool:
    """Whether the labelled images are more or less doubtful, or stranger, than the rest.

    Who labels what the model was in doubt about finds more errors among them than there are among all.
    """
    known = live.answers != UNKNOWN
    if known.mean() >= NEARLY_ALL:
        return False
    rest = live.rows(~known)
    shuffled = assign(len(rest), len(labelled), permutations, seed)
    sides = ((rest.confidence, labelled.confidence), (rest.ood_scores, labelled.ood_scores))
    return any(p_value(_measured(kolmogorov_smirnov(np.concatenate(two)), shuffled)) <= _CHOSEN_P for two in sides)


def _of_labelled(reference: Sample, live: Sample, permutations: int, seed: int) -> list[Check]:
    """More wrong answers, and more confidence than right answers, than on the reference."""
    shuffled = assign(len(reference), len(live), permutations, seed)
    wrong = [(one.predicted != one.answers).astype(np.float64) for one in (reference, live)]
    excess = [one.confidence - (1 - missed) for one, missed in zip((reference, live), wrong, strict=True)]
    return [
        _increase("errors", wrong[0], wrong[1], (reference, live), shuffled),
        _increase("overconfidence", excess[0], excess[1], (reference, live), shuffled),
    ]


def _distribution(
    name: str,
    reference: NDArray[np.float64],
    live: NDArray[np.float64],
    sides: tuple[Sample, Sample],
    shuffled: Assignments,
) -> Check:
    pooled = np.concatenate([reference, live])
    values = _measured(kolmogorov_smirnov(pooled), shuffled)
    edges = np.unique(np.quantile(pooled, np.arange(1, BINS) / BINS))
    psi = _measured(stability_index(np.searchsorted(edges, pooled, side="left")), shuffled)
    effect = _effect(squares(rankdata(pooled)), sides)
    return Check(
        name, "ks", float(reference.mean()), float(live.mean()), float(values[0]), float(psi[0]),
        float(np.quantile(psi[1:], 0.95) * effect), p_value(values, np.sqrt(effect)), _histogram(reference, live),
        effect=effect, varies=bool(np.ptp(pooled) > 0),
    )  # fmt: skip


def _histogram(reference: NDArray[np.float64], live: NDArray[np.float64]) -> Histogram:
    pooled = np.concatenate([reference, live])
    edges = np.histogram_bin_edges(pooled, _BARS, tuple(np.quantile(pooled, [0.005, 0.995])))
    sides = [np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0] / len(side) for side in (reference, live)]
    return Histogram(tuple(edges.tolist()), tuple(sides[0].tolist()), tuple(sides[1].tolist()))


def _features(reference: Sample, live: Sample, shuffled: Assignments) -> Check:
    distances = euclidean(np.concatenate([reference.sketches, live.sketches]))
    values = _measured(energy_distance(distances), shuffled)
    effect = _effect(distances, (reference, live))
    p = p_value(values, effect)
    return Check("features", "energy", None, None, float(values[0]), None, None, p, effect=effect)


def _classes(reference: Sample, live: Sample, shuffled: Assignments) -> Check:
    pooled = np.concatenate([reference.predicted, live.predicted])
    values = _measured(chi_square(pooled), shuffled)
    psi = _measured(stability_index(pooled), shuffled)
    effect = _effect((pooled[:, None] != pooled[None]).astype(np.float32), (reference, live))
    return Check(
        "classes", "chi_square", None, None, float(values[0]), float(psi[0]),
        float(np.quantile(psi[1:], 0.95) * effect), p_value(values, effect), effect=effect,
        varies=bool(np.ptp(pooled) > 0),
    )  # fmt: skip


def _increase(
    name: str,
    reference: NDArray[np.generic],
    live: NDArray[np.generic],
    sides: tuple[Sample, Sample],
    shuffled: Assignments,
) -> Check:
    before, now = reference.astype(np.float64), live.astype(np.float64)
    pooled = np.concatenate([before, now])
    values = _measured(increase(pooled), shuffled)
    effect = _effect(squares(pooled), sides)
    return Check(
        name, "increase", float(before.mean()), float(now.mean()), float(values[0]), None, None,
        p_value(values, np.sqrt(effect)), effect=effect, varies=bool(np.ptp(pooled) > 0),
    )  # fmt: skip


def _effect(distances: NDArray[np.float32], sides: tuple[Sample, Sample]) -> float:
    """The design effect of a difference of the two sides, from distances float32 [n, n], reference first.

    The live images are taken to be grouped at least as the reference is.
    """
    reference, live = sides
    first = len(reference)
    of_reference = design_effect(distances[:first, :first], reference.groups)
    of_live = min(design_effect(distances[first:, first:], live.groups), _MOST_EFFECT)
    of_live = max(of_live, of_reference)
    return (of_reference / first + of_live / len(live)) / (1 / first + 1 / len(live))


def _measured(measure: Measure, shuffled: Assignments) -> NDArray[np.float64]:
    """A measure of every assignment, some at a time; each call sees the observed one first, for the sizes."""
    at_once = max(1, _AT_ONCE // shuffled.shape[1])
    return np.concatenate([measure(shuffled[i : i + at_once]) for i in range(0, len(shuffled), at_once)])
