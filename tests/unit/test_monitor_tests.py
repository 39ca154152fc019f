"""The monitor's statistics keep their laws: no false alarms beyond what is promised, and real changes found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monitored import SHARED, sample
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from automl_cnn.monitor.checks import compare
from automl_cnn.monitor.permutation import (
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
from automl_cnn.monitor.prior import estimate_shares, reference_shares, share_intervals
from automl_cnn.monitor.sample import UNKNOWN

quickly = settings(max_examples=40, deadline=None)
numbers = arrays(np.float64, st.integers(2, 30), elements=st.integers(-5, 5).map(float))
bins = arrays(np.int64, st.integers(2, 40), elements=st.integers(0, 6))


@quickly
@given(bins, st.integers(0, 99))
def test_the_stability_index_is_never_negative(values: NDArray[np.int64], seed: int) -> None:
    live = assign(len(values) // 2, len(values) - len(values) // 2, 20, seed)
    assert (stability_index(values)(live) >= 0).all()


@quickly
@given(bins, st.integers(1, 3))
def test_the_stability_index_of_equal_shares_is_zero(values: NDArray[np.int64], times: int) -> None:
    both = np.concatenate([values, np.tile(values, times)])
    observed = assign(len(values), len(values) * times, 0, 0)
    assert stability_index(both)(observed)[0] == pytest.approx(0, abs=1e-12)
    assert chi_square(both)(observed)[0] == pytest.approx(0, abs=1e-9)


@quickly
@given(numbers, numbers)
def test_kolmogorov_smirnov_is_scipys_also_with_ties(one: NDArray[np.float64], other: NDArray[np.float64]) -> None:
    ours = kolmogorov_smirnov(np.concatenate([one, other]))(assign(len(one), len(other), 0, 0))[0]
    assert ours == pytest.approx(ks_2samp(one, other, method="asymp").statistic)


@quickly
@given(arrays(np.float32, (12, 3), elements=st.integers(-9, 9).map(float)))
def test_the_energy_distance_is_zero_for_the_same_images_and_never_negative(rows: NDArray[np.float32]) -> None:
    twice = euclidean(np.concatenate([rows, rows]))
    assert energy_distance(twice)(assign(12, 12, 0, 0))[0] == pytest.approx(0, abs=1e-4)
    assert (energy_distance(euclidean(rows))(assign(6, 6, 20, 0)) >= -1e-4).all()


@pytest.mark.parametrize("measure", ["ks", "psi", "chi_square", "energy", "increase"])
def test_p_is_uniform_where_nothing_differs(measure: str) -> None:
    rng, found = np.random.default_rng(3), []
    for seed in range(200):
        values = rng.normal(size=40)
        classes = (values > 0.3).astype(np.int64) + (values > 1)
        of = {
            "ks": lambda v, c: kolmogorov_smirnov(v), "psi": lambda v, c: stability_index(c),
            "chi_square": lambda v, c: chi_square(c), "increase": lambda v, c: increase(v),
            "energy": lambda v, c: energy_distance(euclidean(v[:, None].astype(np.float32))),
        }[measure](values, classes)  # fmt: skip
        found.append(p_value(of(assign(25, 15, 99, seed))))
    for level in (0.05, 0.2, 0.5):
        share = np.mean(np.array(found) <= level)
        assert share <= level + 3 * np.sqrt(level * (1 - level) / 200)
        if measure in ("energy", "increase"):  # without ties a test is exact, not only safe
            assert share >= level - 3 * np.sqrt(level * (1 - level) / 200)


@quickly
@given(arrays(np.float64, st.integers(1, 12), elements=st.floats(0.001, 1)))
def test_holm_lies_between_each_p_and_bonferroni(p_values: NDArray[np.float64]) -> None:
    adjusted = holm(p_values)
    assert (adjusted >= p_values - 1e-12).all()
    assert (adjusted <= np.minimum(p_values * len(p_values), 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= -1e-12).all()  # the order stays


def test_images_without_groups_have_no_design_effect_and_copies_count_once() -> None:
    values = np.random.default_rng(0).normal(size=60)
    assert design_effect(squares(values), np.arange(60)) == 1
    assert design_effect(squares(np.repeat(values, 5)), np.repeat(np.arange(60), 5)) == pytest.approx(5, rel=0.01)
    assert design_effect(squares(values), np.repeat(np.arange(12), 5)) < 2.5  # alike in nothing but by chance


def test_copies_among_the_live_images_are_one_clump() -> None:
    rng = np.random.default_rng(0)
    reference, live = rng.normal(size=(100, 8)), rng.normal(size=(40, 8))
    live[10:20] = live[10] + 1e-3 * rng.normal(size=(10, 8))
    found = clumps(live.astype(np.float32), reference.astype(np.float32), np.arange(100))
    assert len(set(found[10:20].tolist())) == 1
    assert len(set(found.tolist())) >= 29


@pytest.mark.parametrize(
    ("changed", "alarming"),
    [
        ("statistics", {"brightness"}),
        ("sketches", {"features"}),
        ("probabilities", {"confidence", "classes", "errors", "overconfidence"}),
        ("ood_scores", {"strangeness", "strangers"}),
        ("abstained", {"abstentions"}),
        ("answers", {"errors", "overconfidence"}),
    ],
)
def test_each_kind_of_change_alarms_by_its_own_check(changed: str, alarming: set[str]) -> None:
    reference, live = sample(120, 1), sample(120, 2)
    spoilt = {
        "statistics": live.statistics + np.array([2, 0, 0, 0, 0, 0, 0]), "sketches": live.sketches[:, ::-1] + 1,
        "probabilities": np.tile(np.float32([0.98, 0.01, 0.01]), (120, 1)), "ood_scores": live.ood_scores + 3,
        "abstained": np.ones(120, np.bool_), "answers": 2 - live.answers,
    }[changed]  # fmt: skip
    checks = compare(
        reference, replace(live, **{changed: spoilt}), SHARED, alpha=0.05, permutations=999, seed=0
    )  # fmt: skip
    assert {check.name for check in checks if check.alarm} == alarming


def test_a_camera_stuck_on_one_picture_alarms() -> None:
    reference, live = sample(120, 1), sample(60, 2)
    stuck = live.rows(np.zeros(60, np.int64))
    assert any(check.alarm for check in compare(reference, stuck, SHARED, alpha=0.05, permutations=999, seed=0))


def test_few_labels_of_a_large_window_are_tested_also_where_the_drawn_images_have_none() -> None:
    reference, live, labelled = sample(120, 1), sample(120, 2), sample(60, 3)
    unlabelled = replace(live, answers=np.full(120, UNKNOWN))
    wrong = replace(labelled, answers=2 - labelled.answers)
    found = compare(reference, unlabelled, SHARED, labelled=wrong, alpha=0.05, permutations=999, seed=0)
    assert {check.name for check in found if check.alarm} == {"errors", "overconfidence"}
    assert len(compare(reference, unlabelled, SHARED, alpha=0.05, permutations=99, seed=0)) == len(found) - 2


def test_what_never_varies_takes_no_share_of_the_false_alarm_rate() -> None:
    reference, live = sample(80, 1), sample(40, 2)
    checks = compare(reference, live, SHARED, alpha=0.05, permutations=399, seed=0)
    flat = [replace(one, statistics=one.statistics * [1, 0, 0, 0, 0, 0, 0]) for one in (reference, live)]
    fewer = compare(flat[0], flat[1], SHARED, alpha=0.05, permutations=399, seed=0)
    assert sum(check.varies for check in checks) == sum(check.varies for check in fewer) + 6


def test_class_shares_are_seen_through_a_model_that_errs() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([0.7, 0.2, 0.1])

    def posterior(answers: NDArray[np.int64], prior: NDArray[np.float64]) -> NDArray[np.float32]:
        seen = rng.normal(size=len(answers)) + 1.5 * answers
        density = np.exp(-((seen[:, None] - 1.5 * np.arange(3)) ** 2) / 2) * prior
        return (density / density.sum(axis=1, keepdims=True)).astype(np.float32)

    even = np.full(3, 1 / 3)
    live = posterior(rng.choice(3, 3000, p=truth), even)
    assert estimate_shares(live, even) == pytest.approx(truth, abs=0.05)
    assert np.abs(live.mean(axis=0) - truth).max() > 0.1  # what counting the answers would have said
    few = posterior(rng.choice(3, 100, p=truth), even)
    reference = rng.integers(0, 3, 300)
    low, high = share_intervals(few, reference, np.arange(300), confidence=0.95, resamples=200, seed=0).T
    assert ((low <= truth) & (truth <= high)).all()


@quickly
@given(arrays(np.float32, st.tuples(st.integers(1, 30), st.just(4)), elements=st.floats(0, 1, width=32)))
def test_estimated_shares_add_up_whatever_the_probabilities(probabilities: NDArray[np.float32]) -> None:
    shares = estimate_shares(probabilities, reference_shares(np.array([10.0, 0, 3, 1])))
    assert shares.sum() == pytest.approx(1)
    assert (shares >= 0).all()
