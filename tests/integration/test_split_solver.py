"""The laws of the solver: fixed groups stay, no class is missing that need not be, the exact split is the best one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.split.problem import FREE, cost, make_problem, missing_pairs
from automl_cnn.split.solver import Assignment, assign_groups
from automl_cnn.split.swaps import deal_greedily, improve

RATIOS = [0.7, 0.15, 0.15]


def solve(counts: np.ndarray, fixed: np.ndarray | None = None, ratios: list[float] | None = None) -> Assignment:
    return assign_groups([f"g{n}" for n in range(len(counts))], counts, ratios or RATIOS, 1, fixed)


@st.composite
def few_groups(draw: st.DrawFn) -> np.ndarray:
    """Three to seven groups of two or three classes, small enough to try every assignment."""
    classes = draw(st.integers(2, 3))
    row = st.lists(st.integers(0, 5), min_size=classes, max_size=classes).filter(any)
    counts = np.array(draw(st.lists(row, min_size=3, max_size=7)))
    return counts[:, counts.sum(axis=0) > 0]


@settings(max_examples=10, deadline=None)
@given(few_groups(), st.data())
def test_fixed_groups_never_move_and_no_class_is_missing_that_need_not_be(
    counts: np.ndarray, data: st.DataObject
) -> None:
    fixed = np.array([data.draw(st.integers(-1, 2)) for _ in counts])
    found = solve(counts, fixed)
    assert (found.sides[fixed != FREE] == fixed[fixed != FREE]).all()
    problem = make_problem(counts, RATIOS, fixed)
    every = [np.array(sides) for sides in itertools.product(range(3), repeat=len(counts))]
    allowed = [sides for sides in every if (sides[fixed != FREE] == fixed[fixed != FREE]).all()]
    fewest = min(len(missing_pairs(problem, sides)) for sides in allowed)
    assert len(found.missing) == fewest
    assert found.unavoidable
    if found.solver == "exact":
        least = min(cost(problem, sides) for sides in allowed if len(missing_pairs(problem, sides)) == fewest)
        assert found.objective <= least * 1.011 + 1e-6


def test_moves_and_exchanges_never_make_a_split_worse_nor_leave_a_class_out() -> None:
    rng = np.random.default_rng(3)
    counts = (
        rng.poisson(rng.pareto(1.2, (60, 1)) * rng.dirichlet(np.full(4, 0.4), 60))
        + np.eye(4, dtype=int)[rng.integers(4, size=60)]
    )
    problem = make_problem(counts, RATIOS, None)
    start = deal_greedily(problem, np.full(60, FREE))
    better = improve(problem, start, seed=1, effort=0.1)
    assert cost(problem, better) < cost(problem, start)
    assert len(missing_pairs(problem, better)) <= len(missing_pairs(problem, start))


def test_a_class_whose_free_groups_are_too_few_is_told_with_its_side() -> None:
    counts = np.array([[9, 0], [5, 0], [5, 0], [0, 4], [0, 4], [0, 4]])
    found = solve(counts, np.array([-1, -1, -1, 0, 0, -1]))
    assert [label for label, _ in found.missing] == [1]
    assert found.unavoidable


def test_two_hundred_mixed_groups_end_within_a_hundredth_of_the_wish() -> None:
    rng = np.random.default_rng(7)
    counts = rng.poisson(3 * rng.dirichlet(np.full(6, 0.3), 200)) + np.eye(6, dtype=int)[rng.integers(6, size=200)]
    found = solve(counts)
    sizes = np.array([counts[found.sides == side].sum() for side in range(3)]) / counts.sum()
    assert np.abs(sizes - RATIOS).max() < 0.01
    assert found.missing == []


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_of_single_images_are_equal_to_the_image(folds: int) -> None:
    counts = np.repeat(np.eye(2, dtype=int), [60, 40], axis=0)
    found = solve(counts, ratios=[1 / folds] * folds)
    assert {tuple(counts[found.sides == fold].sum(axis=0)) for fold in range(folds)} == {(60 // folds, 40 // folds)}


def test_where_groups_abound_every_side_gets_its_share_of_the_larger_ones() -> None:
    sizes = np.repeat([1, 2, 3, 5], [1400, 90, 60, 40])
    counts = np.zeros((len(sizes), 2), np.int64)
    counts[np.arange(len(sizes)), (np.arange(len(sizes)) % 3 == 0).astype(int)] = sizes
    sides = assign_groups([f"g{number}" for number in range(len(sizes))], counts, [0.7, 0.15, 0.15], 1).sides
    large = sizes > 1
    shares = np.bincount(sides[large], weights=sizes[large], minlength=3) / sizes[large].sum()
    assert np.abs(shares - [0.7, 0.15, 0.15]).max() < 0.1
