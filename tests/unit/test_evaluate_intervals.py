"""The intervals beside the scores: same arithmetic, groups as units, and wide where little is known."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from automl_cnn.config import EvaluateParams
from automl_cnn.evaluate.intervals import bootstrap_scores, scarcest_groups, score_all_once, share_interval
from automl_cnn.evaluate.metrics import score_probabilities
from automl_cnn.evaluate.scores import difference_of, score_file

Labelled = tuple[NDArray[np.int64], NDArray[np.float32]]


def _random(n: int, classes: int, seed: int, right: float = 0.8) -> Labelled:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.5] * classes, n).astype(np.float32)
    labels = np.where(rng.random(n) < right, probabilities.argmax(axis=1), rng.integers(0, classes, n))
    return labels.astype(np.int64), probabilities


@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 10_000), st.integers(1, 20))
@settings(max_examples=25, deadline=None)
def test_the_bootstrap_scores_the_images_as_the_report_does(n: int, classes: int, seed: int, bins: int) -> None:
    labels, probabilities = _random(n, classes, seed)
    groups = np.unique(np.random.default_rng(seed).integers(0, n, n), return_inverse=True)[1].astype(np.int64)
    reported = score_probabilities(labels, probabilities, [str(i) for i in range(classes)], bins)
    for name, value in score_all_once(labels, probabilities, groups, bins=bins).items():
        expected = reported.top_k[name[4:]] if name.startswith("top_") else getattr(reported, name)
        assert value == pytest.approx(expected, abs=1e-6), name


def test_the_interval_of_accuracy_agrees_with_the_binomial_one() -> None:
    labels, probabilities = _random(1000, 3, seed=1)
    samples = bootstrap_scores(labels, probabilities, np.arange(1000), resamples=4000, bins=10, seed=1)["accuracy"]
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    low, high = share_interval(samples, accuracy, 1000, 0.95)
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 1000)
    assert low == pytest.approx(accuracy - half, abs=0.004)
    assert high == pytest.approx(accuracy + half, abs=0.004)


def test_ten_photos_of_one_patient_count_as_one() -> None:
    labels, probabilities = _random(60, 2, seed=2)
    alone = bootstrap_scores(labels, probabilities, np.arange(60), resamples=2000, bins=10, seed=1)["accuracy"]
    tenfold = bootstrap_scores(
        np.repeat(labels, 10), np.repeat(probabilities, 10, axis=0), np.repeat(np.arange(60), 10),
        resamples=2000, bins=10, seed=1,
    )["accuracy"]  # fmt: skip
    np.testing.assert_allclose(alone, tenfold)


def test_two_models_that_agree_on_every_image_may_still_differ_on_those_not_seen() -> None:
    labels, probabilities = _random(200, 4, seed=3)
    first, second = (
        bootstrap_scores(labels, probabilities, np.arange(200), resamples=200, bins=10, seed=7) for _ in range(2)
    )
    most = stats.binomtest(0, 200).proportion_ci(method="exact").high  # of the images may be answered otherwise
    for name in first:
        assert not (first[name] - second[name]).any()
        assert share_interval(first[name] - second[name], 0.0, 200, 0.95, low=-1.0) == pytest.approx([-most, most])


def test_groups_that_all_score_the_same_are_no_certainty_either() -> None:
    low, high = share_interval(np.full(100, 2 / 3), 2 / 3, 3, 0.95)
    assert low < 0.25
    assert high > 0.85


def test_no_mistake_among_twenty_images_is_not_certainty() -> None:
    low, high = share_interval(np.ones(100), 1.0, 20, 0.95)
    assert high == 1.0
    assert low == pytest.approx(0.8316, abs=1e-4)  # Clopper and Pearson, 20 of 20
    assert share_interval(np.zeros(100), 0.0, 20, 0.95) == pytest.approx([0.0, 1 - 0.8316], abs=1e-4)


def test_a_mean_over_classes_without_a_mistake_is_as_sure_as_its_scarcest_class() -> None:
    labels = np.array([0] * 500 + [1] * 5)
    scored = score_file(labels, np.eye(2, dtype=np.float32)[labels], np.arange(505), ["a", "b"], EvaluateParams())
    low, high = stats.binomtest(5, 5).proportion_ci(method="exact")
    for name in ("balanced_accuracy", "macro_f1"):
        assert scored.scores[f"{name}_ci95"] == pytest.approx([low, high])
    assert scored.scores["accuracy_ci95"][0] > 0.99
    same = difference_of(scored, scored, 1.0, 505, EvaluateParams())
    assert same["balanced_accuracy_ci95"] == pytest.approx([low - 1, 1 - low])


def test_a_file_is_scored_though_a_class_has_no_test_image() -> None:
    labels, said = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    given = (0.05 + 0.85 * np.eye(4, dtype=np.float32)[said]).astype(np.float32)
    scored = score_file(labels, given, np.arange(4), list("abcd"), EvaluateParams(bootstrap=100))
    lines = {line["label"]: line for line in scored.scores["per_class"]}
    assert (lines["c"]["precision"], lines["c"]["recall"], lines["c"]["recall_ci95"]) == (0.0, None, None)
    assert {lines["d"][f"{name}_ci95"] for name in ("precision", "recall", "f1")} == {None}
    assert len(lines["a"]["recall_ci95"]) == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_the_scarcest_class_is_the_one_with_the_fewest_groups(pairs: list[tuple[int, int]]) -> None:
    labels, groups = np.array(pairs).T
    assert scarcest_groups(labels, groups) == min(len(set(groups[labels == label])) for label in set(labels))


def test_one_group_alone_says_nothing() -> None:
    assert share_interval(np.full(100, 0.9), 0.9, 1, 0.95) == [0.0, 1.0]
    assert share_interval(np.full(100, 0.0), 0.0, 1, 0.95, low=-1.0) == [-1.0, 1.0]


def test_two_thousand_resamples_of_four_thousand_images_take_less_than_three_seconds() -> None:
    labels, probabilities = _random(4000, 10, seed=4)
    started = time.perf_counter()
    bootstrap_scores(labels, probabilities, np.arange(4000), resamples=2000, bins=15, seed=1)
    assert time.perf_counter() - started < 3
