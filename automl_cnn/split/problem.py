"""What a split is asked for: groups, wished shares, earlier places; and what an assignment costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Sides = NDArray[np.int64]
Floats = NDArray[np.float64]

FREE = -1
# A side may miss its wished share by so much of all images before size outweighs every class. Half of the 0.01 that a
# split is held to, so that what closes in on the bound does not stop on it.
TOLERANCE = 0.005
OVER_TOLERANCE, WITHIN_TOLERANCE = 20.0, 0.5
# How much of the class distance counts every class alike, however few its images are; the rest counts every image
# alike, which is the total variation distance.
RARE_CLASSES = 0.2


@dataclass(frozen=True)
class Kinds:
    """Groups with the same class counts are interchangeable.

    Attributes:
        counts: int64 [kinds, classes], images of one group of a kind.
        of: int64 [free groups], which kind each is, in the order of the groups.
        available: int64 [kinds], how many groups there are of each.
    """

    counts: Counts
    of: NDArray[np.int64]
    available: Counts


@dataclass(frozen=True)
class Problem:
    """Groups to be dealt to sides.

    Attributes:
        counts: int64 [groups, classes], images a class.
        wanted: float64 [sides], wished shares, adding up to 1.
        fixed: int64 [groups], the side that a group already has; FREE elsewhere.
    """

    counts: Counts
    wanted: Floats
    fixed: Sides

    @cached_property
    def holds(self) -> NDArray[np.bool_]:
        """Which group has which class: bool [groups, classes]."""
        return self.counts > 0

    @cached_property
    def kinds(self) -> Kinds:
        """The free groups that differ."""
        counts = self.counts[self.fixed == FREE]
        order = np.lexsort(counts.T[::-1]) if counts.size else np.arange(len(counts))
        first = np.ones(len(counts), bool)
        first[1:] = (counts[order][1:] != counts[order][:-1]).any(axis=1)
        kind_of = np.empty(len(counts), np.int64)
        kind_of[order] = np.cumsum(first) - 1
        return Kinds(counts[order][first], kind_of, np.bincount(kind_of, minlength=int(first.sum())))

    @cached_property
    def shares(self) -> Floats:
        """Of all images: float64 [groups, classes + 1]; the last column is the group's size."""
        measures = np.concatenate([self.counts, self.counts.sum(axis=1, keepdims=True)], axis=1)
        return measures / max(int(self.counts.sum()), 1)

    @cached_property
    def target(self) -> Floats:
        """What each side should hold of each measure: float64 [sides, classes + 1]."""
        return np.outer(self.wanted, self.shares.sum(axis=0))

    @cached_property
    def class_weights(self) -> Floats:
        """What a share of all images off its class costs, on a side as large as the whole: float64 [classes]."""
        totals = self.shares[:, :-1].sum(axis=0)
        alike = np.where(totals > 0, 1 / np.maximum(totals * (totals > 0).sum(), 1e-12), 0.0)
        return ((1 - RARE_CLASSES) + RARE_CLASSES * alike) / (2 * len(self.wanted))

    @cached_property
    def measure_weights(self) -> Floats:
        """`class_weights`, and 0 for the size."""
        return np.append(self.class_weights, 0.0)

    @cached_property
    def fewest_missing(self) -> int:
        """Pairs of class and side that no assignment can fill, each class looked at alone: a lower bound."""
        lacking = np.full(self.counts.shape[1], len(self.wanted))
        for side in range(len(self.wanted)):
            lacking -= self.holds[self.fixed == side].any(axis=0)
        return int(np.maximum(lacking - self.holds[self.fixed == FREE].sum(axis=0), 0).sum())


def cost(problem: Problem, sides: Sides) -> float:
    """The objective: mean class distance of the sides, and how far sizes are from the wish. Missing classes aside.

    The distance is linear (deviations are divided by the side's wished size, not by its real one), so that the exact
    solver and the greedy one weigh alike.
    """
    off = held(problem, sides) - problem.target
    return float((class_cost(problem, off) / problem.wanted + size_cost(off[:, -1])).sum())


def class_cost(problem: Problem, off: Floats) -> Floats:
    """Of deviations [..., classes + 1], still to be divided by the side's wished share: [...]."""
    distance: Floats = np.abs(off) @ problem.measure_weights
    return distance


def size_cost(off: Floats) -> Floats:
    """Of deviations of a side's size, as shares of all images."""
    error = np.abs(off)
    return WITHIN_TOLERANCE * error + OVER_TOLERANCE * np.maximum(error - TOLERANCE, 0)


def held(problem: Problem, sides: Sides) -> Floats:
    """What each side holds of each measure: float64 [sides, classes + 1]."""
    return _by_side(problem.shares, sides, len(problem.wanted))


def carriers(problem: Problem, sides: Sides) -> Counts:
    """How many groups with a class stand on each side: int64 [sides, classes]."""
    return _by_side(problem.holds.astype(float), sides, len(problem.wanted)).astype(np.int64)


def missing_pairs(problem: Problem, sides: Sides) -> list[tuple[int, int]]:
    """(class, side) where the side has no image of the class; classes without any image are left out."""
    present = problem.holds.any(axis=0)
    empty = (carriers(problem, sides) == 0) & present
    return [(int(label), int(side)) for side, label in np.argwhere(empty)]


def ratio_error(problem: Problem, sides: Sides) -> float:
    """The largest distance between a side's share of the images and the wished one."""
    return float(np.abs(held(problem, sides) - problem.target)[:, -1].max())


def make_problem(counts: Counts, ratios: Sequence[float], fixed: Sides | None) -> Problem:
    """As the classes come; `fixed` None: every group is free."""
    free = np.full(len(counts), FREE, np.int64) if fixed is None else np.asarray(fixed, np.int64)
    return Problem(np.asarray(counts, np.int64), np.asarray(ratios, float), free)


def take_turns(shares: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sides in an order in which each comes as evenly as it can.

    Args:
        shares: int64 [sides], how often each side comes.
    Returns:
        int64 [sum of shares].
    """
    places = [(np.arange(share) + 0.5) / share for share in shares if share] or [np.empty(0)]
    owners = np.repeat(np.arange(len(shares)), shares)
    turns: NDArray[np.int64] = owners[np.argsort(np.concatenate(places), kind="stable")]
    return turns


def _by_side(values: Floats, sides: Sides, count: int) -> Floats:
    return np.stack([values[sides == side].sum(axis=0) for side in range(count)])
