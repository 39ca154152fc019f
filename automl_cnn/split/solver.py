"""Which group goes to which side: every class on every side, sizes and class shares as near the wish as groups allow.

Groups with the same class counts are interchangeable and become one integer variable, so that thousands of single
images are a handful of unknowns. A greedy filling is refined by single moves; where few kinds remain, scipy's HiGHS
solves the integer program as well and the better one is taken. Nothing depends on a clock: the same input gives the
same split.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Kinds of group times classes up to which the integer program pays. On random sets it lowers the objective by a third
# at 36 kinds of 10 classes (4 s), by nothing at 75, and stays behind the greedy split beyond (7 s and more).
EXACT_SIZE = 600
_NODES, _GAP = 20, 0.05  # where branching ends: a count and a bound, never a time
_MOVE_WORK = 3e8  # elements looked at by the closing moves, some 10 s
Counts = NDArray[np.int64]


def assign_groups(names: Sequence[str], counts: Counts, ratios: Sequence[float], seed: int) -> NDArray[np.int64] | None:
    """Assign every group to one side.

    Args:
        names: one a group, unique.
        counts: int64 [groups, classes], images a class.
        ratios: wanted share of each side, adding up to 1.
        seed: which of several interchangeable groups goes where.
    Returns:
        int64 [groups], the side of each; None where no assignment puts every class on every side.
    Source: the objective is the L1 distance of sizes and class shares; HiGHS: Huangfu and Hall 2018.
    """
    kinds, kind_of = np.unique(counts, axis=0, return_inverse=True)
    kind_of = kind_of.reshape(-1)
    available = np.bincount(kind_of, minlength=len(kinds))
    wanted = np.asarray(ratios, float)
    dealt = _improve(_deal_greedily(kinds, available, wanted), kinds, wanted)
    if kinds.size <= EXACT_SIZE or not _covers(dealt, kinds):
        solved = _solve_exactly(kinds, available, wanted)
        if solved is not None and _covers(solved, kinds):
            solved = _improve(solved, kinds, wanted)
            if not _covers(dealt, kinds) or _cost(solved, kinds, wanted) < _cost(dealt, kinds, wanted):
                dealt = solved
    return _hand_out(names, kind_of, dealt, seed) if _covers(dealt, kinds) else None


def _solve_exactly(kinds: Counts, available: Counts, wanted: NDArray[np.float64]) -> Counts | None:
    """Deal by integer program: int64 [kinds, sides], or None where it finds nothing.

    Unknowns: how many groups of each kind go to each side, then one deviation for each side's size and for each
    class on each side, in images.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_matrix, csr_matrix, eye, hstack, kron

    sides, (n_kinds, classes) = len(wanted), kinds.shape
    unknowns = n_kinds * sides
    measures = np.concatenate([kinds, kinds.sum(axis=1, keepdims=True)], axis=1)  # last column: size
    totals = available @ measures
    # `linear @ x` lists what each side holds of each measure; x runs over sides within kinds
    linear = kron(csr_matrix(measures.T), eye(sides), format="csr")
    target = np.outer(totals, wanted).ravel()
    slack = eye(len(target))
    once = kron(eye(n_kinds), np.ones((1, sides)), format="csr")
    padding = coo_matrix((n_kinds, len(target)))
    present = kron(csr_matrix((kinds > 0).T.astype(float)), eye(sides), format="csr")
    constraints = [
        LinearConstraint(hstack([once, padding]), available, available),
        LinearConstraint(hstack([linear, -slack]), -np.inf, target),
        LinearConstraint(hstack([linear, slack]), target, np.inf),
        LinearConstraint(hstack([present, coo_matrix((classes * sides, len(target)))]), 1, np.inf),
    ]
    cost = np.concatenate([np.zeros(unknowns), np.repeat(_weights(totals), sides)])
    upper = np.concatenate([np.repeat(available, sides), np.full(len(target), np.inf)])
    integral = np.concatenate([np.ones(unknowns), np.zeros(len(target))])
    found = milp(
        cost, constraints=constraints, bounds=Bounds(0, upper), integrality=integral,
        options={"node_limit": _NODES, "mip_rel_gap": _GAP},
    )  # fmt: skip
    if found.x is None:
        return None
    dealt: Counts = np.rint(found.x[:unknowns]).astype(np.int64).reshape(n_kinds, sides)
    return dealt


def _deal_greedily(kinds: Counts, available: Counts, wanted: NDArray[np.float64]) -> Counts:
    """Whole shares of each kind first; then one group for every class still missing somewhere; then what is left over.

    The largest left-over groups go first, each to the side where it mends most.
    """
    measures = np.concatenate([kinds, kinds.sum(axis=1, keepdims=True)], axis=1)
    totals = available @ measures
    target, weights = np.outer(wanted, totals), _weights(totals)
    dealt = np.floor(available[:, None] * wanted).astype(np.int64)
    left = available - dealt.sum(axis=1)
    holding = (dealt.T @ measures).astype(float)
    for label in np.argsort((available[:, None] * (kinds > 0)).sum(axis=0), kind="stable"):
        for side in np.argsort(wanted, kind="stable"):
            candidates = np.flatnonzero((kinds[:, label] > 0) & (left > 0))
            if holding[side, label] == 0 and len(candidates):
                kind = candidates[measures[candidates, -1].argmin()]
                dealt[kind, side], left[kind] = dealt[kind, side] + 1, left[kind] - 1
                holding[side] += measures[kind]
    for kind in np.argsort(-measures[:, -1], kind="stable"):
        for _ in range(left[kind]):
            change = np.abs(holding + measures[kind] - target) - np.abs(holding - target)
            side = int((change @ weights).argmin())
            dealt[kind, side] += 1
            holding[side] += measures[kind]
    return dealt


def _improve(dealt: Counts, kinds: Counts, wanted: NDArray[np.float64]) -> Counts:
    """Move single groups between sides, the most gainful first, while every class stays on every side."""
    measures = np.concatenate([kinds, kinds.sum(axis=1, keepdims=True)], axis=1)
    dealt, sides = dealt.copy(), len(wanted)
    totals = dealt.sum(axis=1) @ measures
    target, weights = np.outer(wanted, totals), _weights(totals)
    holding = (dealt.T @ measures).astype(float)
    groups_with = dealt.T @ (kinds > 0)  # [sides, classes]
    for _ in range(min(1000, math.ceil(_MOVE_WORK / (measures.size * 2 * sides)))):
        off = np.abs(holding - target) @ weights
        leave = np.stack([np.abs(holding[s] - measures - target[s]) @ weights - off[s] for s in range(sides)], axis=1)
        enter = np.stack([np.abs(holding[s] + measures - target[s]) @ weights - off[s] for s in range(sides)], axis=1)
        last = (kinds > 0).astype(np.int64) @ (groups_with <= 1).T > 0  # taking it would leave a class out
        leave[(dealt == 0) | last] = np.inf
        gain = leave[:, :, None] + enter[:, None, :]
        gain[:, range(sides), range(sides)] = np.inf
        kind, source, goal = np.unravel_index(int(gain.argmin()), gain.shape)
        if not gain[kind, source, goal] < -1e-9:
            break
        for side, sign in ((source, -1), (goal, 1)):
            dealt[kind, side] += sign
            holding[side] += sign * measures[kind]
            groups_with[side] += sign * (kinds[kind] > 0)
    return dealt


def _cost(dealt: Counts, kinds: Counts, wanted: NDArray[np.float64]) -> float:
    measures = np.concatenate([kinds, kinds.sum(axis=1, keepdims=True)], axis=1)
    totals = dealt.sum(axis=1) @ measures
    return float((np.abs(dealt.T @ measures - np.outer(wanted, totals)) @ _weights(totals)).sum())


def _weights(totals: Counts) -> NDArray[np.float64]:
    """What one image off costs: classes count alike whatever their size, sizes as much as all classes together."""
    share = np.where(totals > 0, 1 / np.maximum(totals, 1), 0.0)
    share[:-1] /= max(len(totals) - 1, 1)
    return share


def _covers(dealt: Counts, kinds: Counts) -> bool:
    return bool(((dealt.T @ (kinds > 0)) > 0).all())


def _hand_out(names: Sequence[str], kind_of: Counts, dealt: Counts, seed: int) -> NDArray[np.int64]:
    """Within a kind, groups in the order of a seeded hash of their names: no generator, no order of input."""
    keys = [hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in names]
    order = sorted(range(len(names)), key=lambda group: (kind_of[group], keys[group]))
    sides = [np.repeat(np.arange(dealt.shape[1]), row) for row in dealt]
    assigned = np.empty(len(names), np.int64)
    assigned[order] = np.concatenate(sides) if sides else []
    return assigned
