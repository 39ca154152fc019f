"""Every class on every side, before anything else: which groups must stand where for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl_cnn.split.exact import fewest_missing_classes
from automl_cnn.split.problem import FREE, Problem, Sides, missing_pairs

# A class in more groups than this is left to the rest of the solver while the integer program looks at the scarce ones.
_SCARCE = 12
_NODES = 5000


@dataclass(frozen=True)
class Coverage:
    """What `cover_classes` found.

    Attributes:
        start: int64 [groups]: the side of every group that is fixed or needed for a class; FREE elsewhere.
        missing: pairs of class and side that stay empty.
        proven: no assignment leaves fewer.
    """

    start: Sides
    missing: int
    proven: bool


def cover_classes(problem: Problem) -> Coverage:
    """Put the fewest groups on sides such that as few classes as possible are missing there.

    The scarcest classes choose first. Where that leaves more empty than each class alone must, an integer program over
    the scarce classes decides; classes that its answer leaves out join it, until none does.
    """
    start = fill_classes(problem, problem.fixed)
    missing = len(missing_pairs(problem, start))
    if missing == problem.fewest_missing or not (problem.fixed == FREE).any():
        return Coverage(start, missing, True)
    groups_with = problem.holds.sum(axis=0)
    chosen = (groups_with > 0) & (groups_with <= _SCARCE)
    chosen[[label for label, _ in missing_pairs(problem, start)]] = True
    while True:
        part = Problem(problem.holds[:, chosen].astype(np.int64), problem.wanted, problem.fixed)
        solved = fewest_missing_classes(part, _NODES)
        if solved.sides is None:
            return Coverage(start, missing, False)
        filled = fill_classes(problem, _needed(part, solved.sides))
        left = missing_pairs(problem, filled)
        if len(left) < missing:
            start, missing = filled, len(left)
        bound = int(np.ceil(solved.bound - 1e-6))
        outside = [label for label, _ in left if not chosen[label]]
        if missing <= bound or not outside:
            return Coverage(start, missing, missing <= bound)
        chosen[outside] = True


def fill_classes(problem: Problem, start: Sides) -> Sides:
    """Greedy: a group that `start` leaves free for every class still missing on a side, the scarcest class first.

    The smallest group is taken, and the smallest side chooses first.
    """
    sides = start.copy()
    holds = problem.holds
    groups_with = holds.sum(axis=0)
    for label in np.argsort(groups_with, kind="stable"):
        members = np.flatnonzero(holds[:, label])
        for side in np.argsort(problem.wanted, kind="stable"):
            if (sides[members] == side).any():
                continue
            free = members[sides[members] == FREE]
            if len(free):
                sides[free[problem.shares[free, -1].argmin()]] = side
    return sides


def _needed(problem: Problem, sides: Sides) -> Sides:
    """Free every group whose side has all of its classes from others; the largest are freed first."""
    kept = sides.copy()
    carriers = np.stack([problem.holds[sides == side].sum(axis=0) for side in range(len(problem.wanted))])
    for group in np.argsort(-problem.counts.sum(axis=1), kind="stable"):
        held = problem.holds[group]
        if problem.fixed[group] == FREE and (carriers[sides[group]][held] > 1).all():
            carriers[sides[group]] -= held
            kept[group] = FREE
    return kept
