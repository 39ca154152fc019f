"""Dealing groups one after the other, then moving and exchanging them while that helps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_cnn.split.problem import (
    FREE,
    Floats,
    Problem,
    Sides,
    carriers,
    class_cost,
    cost,
    held,
    size_cost,
)

# Groups that take part in moves and exchanges. Beyond, what is to be mended is small beside what a sample can mend.
_POOL = 3000
# Numbers looked at before the search ends, about 1 s; a candidate list counts as at least _OVERHEAD of them.
_WORK, _OVERHEAD = 2e7, 3000
_ROUNDS = 100  # and after as many looks at every group, which ends the search earlier where there are few
_CANDIDATES = 300  # a random choice of as many is weighed where more could come in exchange
_KICK = 0.04  # share of the pool that is dealt anew before each further descent
_TRIES = 25  # gainful exchanges looked at, best first, before a group is left where it is
_GAIN = 1e-10


def deal_greedily(problem: Problem, start: Sides) -> Sides:
    """Deal every group that has no side in `start`, the largest first, each to the side that lacks most of it.

    Args:
        start: int64 [groups]; FREE where a group is still to be dealt.
    Source: squared deviations, as in longest-processing-time scheduling; they keep large groups out of small sides.
    """
    sides = start.copy()
    off = held(problem, sides) - problem.target
    totals = np.maximum(problem.shares.sum(axis=0), 1e-12)
    weights = np.concatenate([problem.class_weights / totals[:-1], [1.0 / len(problem.wanted)]])
    loose = np.flatnonzero(sides == FREE)
    for group in loose[np.argsort(-problem.shares[loose, -1], kind="stable")]:
        share = problem.shares[group]
        change = ((2 * off + share) * share) @ weights / problem.wanted
        side = int(change.argmin())
        sides[group] = side
        off[side] += share
    return sides


def improve(problem: Problem, sides: Sides, seed: int, effort: float = 1.0) -> Sides:
    """Moves and exchanges until none helps; then again from slightly shaken assignments, the best of them kept.

    No step adds a missing class, and fixed groups stay. Ends after a number of steps, never after a time.

    Args:
        sides: int64 [groups], where every group stands.
        effort: share of the usual number of steps.
    """
    generator = np.random.default_rng(seed)
    pool = np.flatnonzero(problem.fixed == FREE)
    if len(pool) < 2:
        return sides
    if len(pool) > _POOL:
        pool = np.sort(generator.choice(pool, _POOL, replace=False))
    round_work = len(pool) * max(min(len(pool), _CANDIDATES) * problem.shares.shape[1], _OVERHEAD)
    search = _Search(problem, sides, pool, generator, effort * min(_WORK, _ROUNDS * round_work))
    search.descend()
    best, least = search.sides.copy(), cost(problem, search.sides)
    while search.work > 0:
        search.shake()
        search.descend()
        reached = cost(problem, search.sides)
        if reached < least - _GAIN:
            best, least = search.sides.copy(), reached
        elif search.work > 0:
            search.start(best)
    return best


class _Search:
    """The running state of `improve`: who stands where, and how far every side is from its wish."""

    def __init__(
        self, problem: Problem, sides: Sides, pool: NDArray[np.intp], generator: np.random.Generator, work: float
    ) -> None:
        self.problem, self.pool, self.generator, self.work = problem, pool, generator, work
        count = len(problem.wanted)
        # what may come in exchange: a group of the pool, or nothing (one row a side), which makes it a plain move
        self.shares = np.concatenate([problem.shares[pool], np.zeros((count, problem.shares.shape[1]))])
        self.holds = np.concatenate([problem.holds[pool], np.zeros((count, problem.holds.shape[1]), bool)]).astype(int)
        self.start(sides)

    def start(self, sides: Sides) -> None:
        problem = self.problem
        self.work -= problem.shares.size  # every group is summed up
        self.sides = sides.copy()
        self.side = np.concatenate([sides[self.pool], np.arange(len(problem.wanted))])
        self.off = held(problem, sides) - problem.target
        self.carriers = carriers(problem, sides)

    def shake(self) -> None:
        """Deal a few groups of the pool at random; those that alone bring a class to their side stay."""
        count = max(2, round(_KICK * len(self.pool)))
        for row in self.generator.choice(len(self.pool), min(count, len(self.pool)), replace=False):
            nothing = len(self.pool) + int(self.generator.integers(len(self.problem.wanted)))
            if self.side[row] != self.side[nothing] and self._keeps_classes(int(row), nothing):
                self._exchange(int(row), nothing)

    def descend(self) -> None:
        """Take every group's best move or exchange, in random order, until a whole round brings nothing."""
        idle = 0
        while idle < len(self.pool) and self.work > 0:
            for row in self.generator.permutation(len(self.pool)):
                idle = 0 if self._better(int(row)) else idle + 1
                if idle >= len(self.pool) or self.work <= 0:
                    break

    def _better(self, row: int) -> bool:
        others = np.flatnonzero(self.side != self.side[row])
        if len(others) > _CANDIDATES:
            others = others[self.generator.integers(len(others), size=_CANDIDATES)]
        self.work -= max(len(others) * self.shares.shape[1], _OVERHEAD)
        gains = self._gains(row, others)
        for _ in range(min(_TRIES, len(others))):
            best = int(gains.argmin())
            if gains[best] > -_GAIN:
                return False
            if self._keeps_classes(row, int(others[best])):
                self._exchange(row, int(others[best]))
                return True
            gains[best] = np.inf
        return False

    def _gains(self, row: int, others: NDArray[np.intp]) -> Floats:
        """Change of the cost by exchanging `row` for each of the others: float64 [others]."""
        problem, here, there = self.problem, self.side[row], self.side[others]
        each = class_cost(problem, self.off) / problem.wanted + size_cost(self.off[:, -1])
        come = self.shares[others] - self.shares[row]
        mine, theirs = self.off[here] + come, self.off[there] - come
        gains: Floats = class_cost(problem, mine) / problem.wanted[here] + size_cost(mine[:, -1])
        gains += class_cost(problem, theirs) / problem.wanted[there] + size_cost(theirs[:, -1])
        gains -= each[here] + each[there]
        return gains

    def _keeps_classes(self, row: int, other: int) -> bool:
        here, there = self.side[row], self.side[other]
        change = self.holds[other] - self.holds[row]
        lost = ((self.carriers[here] + change) == 0).sum() + ((self.carriers[there] - change) == 0).sum()
        return bool(lost <= (self.carriers[here] == 0).sum() + (self.carriers[there] == 0).sum())

    def _exchange(self, row: int, other: int) -> None:
        here, there = self.side[row], self.side[other]
        come, change = self.shares[other] - self.shares[row], self.holds[other] - self.holds[row]
        self.off[here] += come
        self.off[there] -= come
        self.carriers[here] += change
        self.carriers[there] -= change
        self.side[row] = self.sides[self.pool[row]] = there
        if other < len(self.pool):
            self.side[other] = self.sides[self.pool[other]] = here
