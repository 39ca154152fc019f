"""The split as an integer program, solved by HiGHS: the best assignment, or proof that none does better.

Groups with the same class counts are interchangeable and become one integer unknown a side. Branching ends after a
number of nodes, never after a time, so that the same input gives the same split on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl_cnn.split.problem import (
    FREE,
    OVER_TOLERANCE,
    TOLERANCE,
    WITHIN_TOLERANCE,
    Counts,
    Floats,
    Problem,
    Sides,
)

_OPTIMAL, _INFEASIBLE = 0, 2  # scipy's status
Goal = Literal["classes", "sizes", "all"]


@dataclass(frozen=True)
class Solved:
    """What an integer program ended with.

    Attributes:
        sides: int64 [groups]; None where it found nothing.
        bound: no assignment has a lower value of the goal; in its own unit.
        proven: the search ended by itself: `sides` reaches the bound, or nothing exists where it is None.
    """

    sides: Sides | None
    bound: float
    proven: bool


def fewest_missing_classes(problem: Problem, nodes: int) -> Solved:
    """Leave as few pairs of class and side empty as can be; `bound` is a number of pairs."""
    return _solve(problem, "classes", problem.counts.shape[1] * len(problem.wanted), nodes, 0.0)


def smallest_ratio_error(problem: Problem, missing: int, nodes: int) -> Solved:
    """Come as near to the wished shares as can be with at most `missing` empty pairs; `bound` is the largest error."""
    return _solve(problem, "sizes", missing, nodes, 0.02)


def best_assignment(problem: Problem, missing: int, nodes: int, gap: float) -> Solved:
    """The least `cost` with at most `missing` empty pairs, up to a relative `gap`."""
    return _solve(problem, "all", missing, nodes, gap)


def relaxed_assignment(problem: Problem, missing: int) -> Sides:
    """What the linear program decides for whole groups: int64 [groups]; FREE where it would cut a group in pieces."""
    found = _run(_program(problem, "all", missing), whole=False, nodes=1, gap=0.0)
    if found.x is None:
        return problem.fixed.copy()
    return _hand_out(problem, np.floor(_dealt(found, problem) + 1e-6).astype(np.int64))


def _solve(problem: Problem, goal: Goal, missing: int, nodes: int, gap: float) -> Solved:
    found = _run(_program(problem, goal, missing), whole=True, nodes=nodes, gap=gap)
    bound = float(found.mip_dual_bound) if found.mip_dual_bound is not None else 0.0
    if found.x is None:
        return Solved(None, bound, found.status == _INFEASIBLE)
    dealt = np.rint(_dealt(found, problem)).astype(np.int64)
    return Solved(_hand_out(problem, dealt), bound, found.status == _OPTIMAL)


def _program(problem: Problem, goal: Goal, missing: int) -> _Program:
    program = _Program(problem)
    program.one_side_each()
    program.count_missing(weight=float(goal == "classes"), at_most=missing)
    if goal == "sizes":
        program.weigh_largest_error()
    elif goal == "all":
        program.weigh_sizes()
        program.weigh_classes()
    return program


def _run(program: _Program, whole: bool, nodes: int, gap: float) -> Any:
    from scipy.optimize import Bounds, milp

    return milp(
        np.concatenate(program.weights), constraints=program.constraints(),
        bounds=Bounds(0.0, np.concatenate(program.upper)),
        integrality=np.concatenate(program.integral) * whole,
        options={"node_limit": nodes, "mip_rel_gap": gap},
    )  # fmt: skip


def _dealt(found: Any, problem: Problem) -> Floats:
    kinds = len(problem.kinds.counts)
    dealt: Floats = found.x[: kinds * len(problem.wanted)].reshape(kinds, -1)
    return dealt


class _Program:
    """Unknowns in blocks, one after the other, and the rows that tie them together.

    The first block is how many groups of each kind go to each side; it runs over sides within kinds.
    """

    def __init__(self, problem: Problem) -> None:
        kinds, available = problem.kinds.counts, problem.kinds.available
        self.problem, self.kinds, self.available = problem, kinds, available
        self.sides = len(problem.wanted)
        self.weights: list[Floats] = []
        self.upper: list[Floats] = []
        self.integral: list[NDArray[np.int64]] = []
        self.rows: list[tuple[dict[int, Any], Floats, Floats]] = []
        self._unknowns(np.zeros(len(kinds) * self.sides), np.repeat(available, self.sides).astype(float), 1)
        fixed = problem.fixed
        self.standing = np.stack([problem.counts[fixed == side].sum(axis=0) for side in range(self.sides)])

    def one_side_each(self) -> None:
        from scipy.sparse import eye, kron

        every = self.available.astype(float)
        self.rows.append(({0: kron(eye(len(self.kinds)), np.ones((1, self.sides)))}, every, every))

    def count_missing(self, weight: float, at_most: int) -> None:
        """One unknown for each pair of class and side: 1 where the side has none of the class."""
        from scipy.sparse import csr_matrix, eye, kron

        pairs = self.kinds.shape[1] * self.sides
        empty = ((self.standing == 0) & self.problem.holds.any(axis=0)).T.ravel()  # sides within classes
        block = self._unknowns(np.full(pairs, weight), empty.astype(float) * (at_most > 0), 1)
        present = kron(csr_matrix((self.kinds > 0).T.astype(float)), eye(self.sides))
        self.rows.append(({0: present, block: eye(pairs)}, empty.astype(float), np.full(pairs, np.inf)))
        if at_most > 0:
            self.rows.append(({block: csr_matrix(np.ones((1, pairs)))}, np.array([0.0]), np.array([float(at_most)])))

    def weigh_largest_error(self) -> None:
        """One unknown: the largest distance of a side's size from its wish, a share of all images."""
        block = self._unknowns(np.ones(1), np.ones(1), 0)
        self._two_sided(self._size_rows(), block, np.ones((self.sides, 1)), self._size_target())

    def weigh_sizes(self) -> None:
        """Two unknowns a side: the distance up to the tolerance, and what exceeds it."""
        count = self.sides
        within = self._unknowns(np.full(count, WITHIN_TOLERANCE), np.full(count, TOLERANCE), 0)
        over = self._unknowns(np.full(count, WITHIN_TOLERANCE + OVER_TOLERANCE), np.ones(count), 0)
        target = self._size_target()
        self._two_sided(self._size_rows(), within, np.eye(count), target, over)

    def weigh_classes(self) -> None:
        """One unknown for each pair of class and side: how far its images are from their wish."""
        from scipy.sparse import csr_matrix, eye, kron

        problem, total = self.problem, self.problem.counts.sum()
        weights = np.outer(problem.class_weights, 1 / problem.wanted).ravel()
        block = self._unknowns(weights, np.ones(len(weights)), 0)
        linear = kron(csr_matrix(self.kinds.T / total), eye(self.sides))
        target = (problem.target[:, :-1] - self.standing / total).T.ravel()
        self._two_sided(linear, block, eye(len(weights)), target)

    def constraints(self) -> Any:
        from scipy.optimize import LinearConstraint
        from scipy.sparse import csr_matrix, hstack, vstack

        widths = [len(weights) for weights in self.weights]
        matrices = [
            hstack([csr_matrix(parts.get(block, csr_matrix((len(low), width)))) for block, width in enumerate(widths)])
            for parts, low, _ in self.rows
        ]
        low, high = (np.concatenate([row[side] for row in self.rows]) for side in (1, 2))
        return LinearConstraint(vstack(matrices), low, high)

    def _unknowns(self, weights: Floats, upper: Floats, integral: int) -> int:
        self.weights.append(weights)
        self.upper.append(upper)
        self.integral.append(np.full(len(weights), integral))
        return len(self.weights) - 1

    def _two_sided(self, linear: Any, block: int, slack: Any, target: Floats, further: int | None = None) -> None:
        """|linear @ x − target| is at most what the slack blocks say."""
        for sign, low, high in ((-1, np.full(len(target), -np.inf), target), (1, target, np.full(len(target), np.inf))):
            parts = {0: linear, block: sign * slack}
            if further is not None:
                parts[further] = sign * slack
            self.rows.append((parts, low, high))

    def _size_rows(self) -> Any:
        from scipy.sparse import csr_matrix, eye, kron

        sizes = self.kinds.sum(axis=1)[None, :] / self.problem.counts.sum()
        return kron(csr_matrix(sizes), eye(self.sides))

    def _size_target(self) -> Floats:
        target: Floats = self.problem.target[:, -1] - self.standing.sum(axis=1) / self.problem.counts.sum()
        return target


def _hand_out(problem: Problem, dealt: Counts) -> Sides:
    """Groups of a kind in their order: the first to the first side, what is not dealt last."""
    sides = problem.fixed.copy()
    free = np.flatnonzero(problem.fixed == FREE)
    order = np.argsort(problem.kinds.of, kind="stable")
    cut = dealt.sum(axis=1) - problem.kinds.available  # ≤ 0: groups left without a side
    rows = [
        np.repeat(np.append(np.arange(dealt.shape[1]), FREE), np.append(row, -less))
        for row, less in zip(dealt, cut, strict=True)
    ]
    sides[free[order]] = np.concatenate(rows)
    return sides
