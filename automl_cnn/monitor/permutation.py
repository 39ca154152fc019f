"""Two-sample tests by permutation: could the live images have been drawn from where the reference images were?

Every test is a function of who is live: a matrix of assignments, the true one first, gives a row of values, and the
p-value is the rank of the first. All tests share one matrix. Images of one group are no independent evidence: a value
shrinks by the design effect before it is compared (Kish 1965; Rao and Scott 1981). Without groups the test is exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

_CLOSE = 0.1

Assignments = NDArray[np.bool_]  # [1 + permutations, n]; True: live; the first row is what was observed
Measure = Callable[[Assignments], NDArray[np.float64]]  # larger: less alike


def assign(n_reference: int, n_live: int, permutations: int, seed: int) -> Assignments:
    """The observed assignment, reference rows first, and random ones of the same sizes.

    Returns:
        bool [1 + permutations, n_reference + n_live].
    """
    observed = np.arange(n_reference + n_live) >= n_reference
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.broadcast_to(observed, (permutations, len(observed))), axis=1)
    return np.concatenate([observed[None], shuffled])


def p_value(values: NDArray[np.float64], shrink: float = 1.0) -> float:
    """Share of assignments that look at least as different as the observed one.

    Args:
        values: of a measure, the observed one first.
        shrink: divides the observed value; the design effect, or its square root where the measure grows with 1/√n.
    Returns:
        At least 1 / len(values).
    Source: Phipson and Smyth 2010, for counting the observed one.
    """
    observed = values[0] / shrink
    return float((1 + (values[1:] >= observed - 1e-12 * abs(observed)).sum()) / len(values))


def kolmogorov_smirnov(pooled: NDArray[np.float64]) -> Measure:
    """Largest distance of the two distribution functions, 0…1, of values float64 [n]; ties are no matter."""
    order = np.argsort(pooled, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(pooled[order]) > 0, True))

    def measure(live: Assignments) -> NDArray[np.float64]:
        cumulated = live[:, order].cumsum(axis=1, dtype=np.int32)[:, ends]
        n_live = int(live[0].sum())
        n_reference = live.shape[1] - n_live
        distance = cumulated / n_live - (ends + 1 - cumulated) / n_reference
        return np.asarray(np.abs(distance).max(axis=1))

    return measure


def stability_index(bins: NDArray[np.int64]) -> Measure:
    """Population stability index of binned values, int64 [n] from 0 on.

    Σ (q − p) ln(q / p) over bins with the shares p of the reference and q of the live images, none taken below half an
    image of the smaller side. 0 for equal shares, never negative.
    """
    member = np.eye(int(bins.max()) + 1, dtype=np.float32)[bins]

    def measure(live: Assignments) -> NDArray[np.float64]:
        n_live = int(live[0].sum())
        n_reference = live.shape[1] - n_live
        counts = (live.astype(np.float32) @ member).astype(np.float64)
        floor = 0.5 / min(n_live, n_reference)
        q = np.maximum(counts / n_live, floor)
        p = np.maximum((member.sum(axis=0, dtype=np.float64) - counts) / n_reference, floor)
        return np.asarray(((q - p) * np.log(q / p)).sum(axis=1))

    return measure


def chi_square(classes: NDArray[np.int64]) -> Measure:
    """Pearson's chi-square of class counts, of classes int64 [n] from 0 on."""
    member = np.eye(int(classes.max()) + 1, dtype=np.float32)[classes]
    member = member[:, member.any(axis=0)]

    def measure(live: Assignments) -> NDArray[np.float64]:
        counts = (live.astype(np.float32) @ member).astype(np.float64)
        share = live[0].mean()
        expected = member.sum(axis=0, dtype=np.float64) * share
        return np.asarray(((counts - expected) ** 2 / (expected * (1 - share))).sum(axis=1))

    return measure


def increase(values: NDArray[np.float64]) -> Measure:
    """By how much the mean of the live images is above that of the reference, of values float64 [n]."""

    def measure(live: Assignments) -> NDArray[np.float64]:
        n_live = int(live[0].sum())
        total = live @ values
        return np.asarray(total / n_live - (values.sum() - total) / (live.shape[1] - n_live))

    return measure


def energy_distance(distances: NDArray[np.float32]) -> Measure:
    """2 E|X − Y| − E|X − X′| − E|Y − Y′|, of distances float32 [n, n]; 0 or more.

    Source: Székely and Rizzo 2004.
    """

    def measure(live: Assignments) -> NDArray[np.float64]:
        n_live = int(live[0].sum())
        weights = np.where(live, np.float32(1 / n_live), np.float32(-1 / (live.shape[1] - n_live)))
        return np.asarray(-((weights @ distances) * weights).sum(axis=1), np.float64)

    return measure


def euclidean(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances of all rows of [n, d] from each other, float32 [n, n]."""
    squares = (rows.astype(np.float64) ** 2).sum(axis=1)
    squared = squares[:, None] + squares[None] - 2 * (rows.astype(np.float64) @ rows.astype(np.float64).T)
    np.fill_diagonal(squared, 0)
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)


def design_effect(distances: NDArray[np.float32], groups: NDArray[np.int64]) -> float:
    """How many times more an average scatters than it would if every image were independent.

    Args:
        distances: float32 [n, n] of the reference images, squared differences for single numbers.
        groups: int64 [n].
    Returns:
        1 + (m − 1) · ρ, with m the mean group size that an image sees, and ρ by how much images of a group are closer
        to each other than any two are, 0…1. 1 where every image is a group of its own.
    Source: Kish 1965, section 5.4, with ρ for distances instead of squares.
    """
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    if len(size) < 2 or size.max() < 2:
        return 1.0
    n, within, pairs = len(groups), 0.0, 0
    for number in np.flatnonzero(size > 1):
        members = np.flatnonzero(group == number)
        within += float(distances[np.ix_(members, members)].sum())
        pairs += len(members) * (len(members) - 1)
    between = float(distances.sum(dtype=np.float64)) - within
    overall = between / max(n * (n - 1) - pairs, 1)
    if overall <= 0:
        return 1.0
    alike = min(max(1 - within / pairs / overall, 0.0), 1.0)
    return float(1 + ((size**2).sum() / n - 1) * alike)


def squares(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Squared differences of single numbers [n], float32 [n, n]."""
    return np.asarray((values[:, None] - values[None]) ** 2, np.float32)


def clumps(
    sketches: NDArray[np.float32], reference: NDArray[np.float32], groups: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Groups of live images that show the same thing: burst shots, copies, a camera that does not move.

    Two are of one clump where they are closer than nine tenths of the reference images are to any of another group.

    Args:
        sketches: float32 [n, k], of live images.
        reference: float32 [v, k].
        groups: int64 [v], of the reference.
    Returns:
        int64 [n], numbers from 0.
    """
    apart = euclidean(reference)
    apart[groups[:, None] == groups[None]] = np.inf
    nearest = apart.min(axis=1)
    if not np.isfinite(nearest).all():
        return np.arange(len(sketches))  # one group alone shows nothing
    linked = euclidean(sketches) < np.quantile(nearest, _CLOSE)
    return np.asarray(connected_components(csr_array(linked), directed=False)[1], np.int64)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values that may each be held against the overall false-alarm rate, float64 [tests].

    Source: Holm 1979.
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(count, 0, -1))
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
