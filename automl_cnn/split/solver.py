"""Which group goes to which side: every class on every side, sizes and class shares as near the wish as groups allow.

Coverage of the classes comes first, then greedy dealing with moves and exchanges; where few groups remain, an integer
program closes the gap to the optimum. Nothing depends on a clock or on the order of the rows: the same groups give the
same split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_cnn.split.coverage import cover_classes, fill_classes
from automl_cnn.split.exact import best_assignment, relaxed_assignment, smallest_ratio_error
from automl_cnn.split.problem import (
    FREE,
    Counts,
    Problem,
    Sides,
    cost,
    make_problem,
    missing_pairs,
    ratio_error,
    take_turns,
)
from automl_cnn.split.swaps import deal_greedily, improve

# Kinds of free group times classes times sides. Up to EXACT_SIZE the integer program pays: on 24 random sets of 26 to
# 535 groups it was proven within a hundredth on 14, and moves and exchanges alone cost 11 % more. Up to LINEAR_SIZE its
# linear relaxation gives them a second start, which cut the cost of three of eight large sets by 9 to 67 %.
EXACT_SIZE, LINEAR_SIZE = 3000, 60_000
# Where branching ends, a count and a bound and never a time: smaller programs may branch more often.
_NODES, _NODE_WORK, _GAP = 20, 20_000, 0.01
RATIO_ERROR = 0.01  # what the sizes are held to where groups allow it
_SIZE_KINDS, _SIZE_NODES = 400, 300
# Class shares and sizes say nothing of what else large groups have in common: on ELPV, whose copies are of one kind of
# cell, the program put 273 of 393 validation images, and 24 of 394 test images, into groups of several. So where groups
# abound, this share of each class and size of group is dealt evenly before anything is weighed.
_SPREAD_SHARE, _SPREAD_GROUPS = 0.9, 600
_BULK = 2000  # free groups beyond which equal ones are dealt in whole shares before anything is weighed


@dataclass(frozen=True)
class Assignment:
    """What `assign_groups` found.

    Attributes:
        sides: int64 [groups], the side of each.
        solver: exact (an integer program proved that nothing is better by more than a hundredth) or greedy.
        objective: see `problem.cost`; 0 is a perfect split.
        missing: (class, side) where the side has no image of the class; columns of `counts` and places in `ratios`.
        unavoidable: no assignment leaves fewer of them empty.
    """

    sides: Sides
    solver: str
    objective: float
    missing: list[tuple[int, int]]
    unavoidable: bool


def assign_groups(
    names: Sequence[str],
    counts: Counts,
    ratios: Sequence[float],
    seed: int,
    fixed: NDArray[np.int64] | None = None,
) -> Assignment:
    """Assign every group to one side.

    Args:
        names: one a group, unique.
        counts: int64 [groups, classes], images a class.
        ratios: wanted share of each side, adding up to 1.
        seed: which of several interchangeable groups goes where.
        fixed: int64 [groups], the side that a group already has and keeps; -1 where it is free; None: all are free.
    Returns:
        An assignment with as few missing classes as any; `missing` is empty where every class can be everywhere.
    Source: HiGHS: Huangfu and Hall 2018; iterated local search: Lourenço, Martin and Stützle 2003.
    """
    order = _canonical_order(names, counts, seed)
    problem = make_problem(counts, ratios, fixed)
    sorted_problem = Problem(problem.counts[order], problem.wanted, problem.fixed[order])
    spread = _spread(sorted_problem)
    if spread is not None:
        dealt, _, proven = _assign(make_problem(sorted_problem.counts, ratios, spread), seed)
        solver = "greedy"  # whatever was proven of the rest
    if spread is None or missing_pairs(sorted_problem, dealt) or ratio_error(sorted_problem, dealt) > RATIO_ERROR:
        dealt, solver, proven = _assign(sorted_problem, seed)
    sides = np.empty(len(names), np.int64)
    sides[order] = dealt
    return Assignment(sides, solver, cost(problem, sides), missing_pairs(problem, sides), proven)


def _assign(problem: Problem, seed: int) -> tuple[Sides, str, bool]:
    if (problem.fixed != FREE).all():
        return problem.fixed, "exact", True
    coverage = cover_classes(problem)
    kinds = len(problem.kinds.counts)
    size = kinds * problem.counts.shape[1] * len(problem.wanted)
    if size <= EXACT_SIZE:
        solved = best_assignment(problem, coverage.missing, max(_NODES, _NODE_WORK // size), _GAP)
        if solved.sides is not None:
            sides = improve(problem, solved.sides, seed, effort=0.0 if solved.proven else 0.5)
            return sides, "exact" if solved.proven else "greedy", coverage.proven
    starts = [deal_greedily(problem, _deal_shares(problem, coverage.start))]
    if size <= LINEAR_SIZE:
        relaxed = fill_classes(problem, relaxed_assignment(problem, coverage.missing))
        starts.append(deal_greedily(problem, relaxed))
    found = [
        improve(problem, start, seed) for start in starts if len(missing_pairs(problem, start)) <= coverage.missing
    ]
    sides = min(found, key=lambda each: cost(problem, each))
    if ratio_error(problem, sides) > RATIO_ERROR and kinds <= _SIZE_KINDS:
        balanced = smallest_ratio_error(problem, coverage.missing, _SIZE_NODES).sides
        if balanced is not None:
            sides = min(sides, improve(problem, balanced, seed), key=lambda each: cost(problem, each))
    return sides, "greedy", coverage.proven


def _spread(problem: Problem) -> Sides | None:
    """Give each side its share of the groups of each main class and size; None where groups are few and large."""
    free = np.flatnonzero(problem.fixed == FREE)
    sizes = problem.counts[free].sum(axis=1)
    if len(free) <= _SPREAD_GROUPS and sizes.sum() >= 2 * len(free):
        return None
    sides = problem.fixed.copy()
    bucket = problem.counts[free].argmax(axis=1) * 64 + np.ceil(np.log2(np.maximum(sizes, 1))).astype(np.int64)
    for name in np.unique(bucket):
        members = free[bucket == name]
        shares = np.floor(_SPREAD_SHARE * len(members) * problem.wanted).astype(np.int64)
        # along the canonical order, in which groups of equal counts stand by the hash of their names
        whose = take_turns(shares)
        places = np.round(np.linspace(0, len(members) - 1, len(whose))).astype(np.int64)
        sides[members[places]] = whose
    return sides


def _deal_shares(problem: Problem, start: Sides) -> Sides:
    """Where equal groups abound, give each side its whole share of each kind: single images need no weighing."""
    sides = start.copy()
    if (sides == FREE).sum() <= _BULK:
        return sides
    kinds = problem.kinds
    free = np.flatnonzero(problem.fixed == FREE)[np.argsort(kinds.of, kind="stable")]
    ends = np.cumsum(kinds.available)
    for kind in np.flatnonzero(kinds.available * problem.wanted.max() >= 1):
        members = free[ends[kind] - kinds.available[kind] : ends[kind]]
        loose = members[sides[members] == FREE]
        whole = np.floor(len(loose) * problem.wanted).astype(int)
        sides[loose[: whole.sum()]] = np.repeat(np.arange(len(whole)), whole)
    return sides


def _canonical_order(names: Sequence[str], counts: Counts, seed: int) -> NDArray[np.intp]:
    """By class counts, then by a seeded hash of the name: no generator, no order of input."""
    keys = [hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in names]
    by_key = np.array(sorted(range(len(names)), key=lambda group: keys[group]), dtype=np.intp)
    columns = np.asarray(counts)[by_key]
    return by_key[np.lexsort(columns.T[::-1])]
