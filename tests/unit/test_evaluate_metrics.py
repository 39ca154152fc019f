"""The scores in the report are scikit-learn's, and never NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, top_k_accuracy_score

from automl_cnn.evaluate.metrics import PROBABILITY_FLOOR, calibration_table, label_ranks, score_probabilities

NAMES = ["a", "b", "c"]


def _random(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.5] * 3, n).astype(np.float32)
    labels = np.where(rng.random(n) < 0.7, probabilities.argmax(axis=1), rng.integers(0, 3, n))
    return labels.astype(np.int64), probabilities


def test_the_scores_are_those_of_scikit_learn() -> None:
    labels, probabilities = _random(500, 1)
    scores = score_probabilities(labels, probabilities, NAMES, bins=15)
    predicted = probabilities.argmax(axis=1)
    assert scores.accuracy == (predicted == labels).mean()
    assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert scores.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert [one.support for one in scores.per_class] == np.bincount(labels).tolist()


def test_a_certain_mistake_of_an_int8_file_costs_no_more_than_half_a_step() -> None:
    scores = score_probabilities(np.array([1]), np.array([[1.0, 0.0, 0.0]], np.float32), NAMES, bins=15)
    assert scores.log_loss == pytest.approx(-math.log(PROBABILITY_FLOOR)) == pytest.approx(math.log(512))


def test_top_k_and_brier_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    labels, probabilities = rng.integers(0, 6, 300), rng.dirichlet([0.5] * 6, 300).astype(np.float32)
    scores = score_probabilities(labels, probabilities, list("abcdef"), bins=15)
    assert list(scores.top_k) == ["2", "3", "4", "5"]
    for k, share in scores.top_k.items():
        assert share == pytest.approx(top_k_accuracy_score(labels, probabilities, k=int(k), labels=range(6)))
    one_hot = np.eye(6)[labels]
    assert scores.brier == pytest.approx(((probabilities - one_hot) ** 2).sum(axis=1).mean(), abs=1e-6)


def test_top_k_is_not_told_where_every_answer_would_be_a_hit() -> None:
    assert score_probabilities(np.array([0, 1]), np.eye(2, dtype=np.float32), ["a", "b"], bins=5).top_k == {}


def test_among_equal_probabilities_the_first_class_counts_as_the_answer_everywhere() -> None:
    equal = np.full((3, 4), 0.25, np.float32)
    assert label_ranks(np.array([0, 1, 3]), equal).tolist() == [0, 1, 3]


def test_a_model_that_is_right_as_often_as_it_says_has_no_calibration_error() -> None:
    labels = np.array([0] * 7 + [1] * 3)
    probabilities = np.tile(np.array([[0.7, 0.2, 0.1]], np.float32), (10, 1))
    assert score_probabilities(labels, probabilities, NAMES, bins=15).ece == pytest.approx(0, abs=1e-7)
    table = calibration_table(labels, probabilities, bins=15)
    assert table[["bin", "count"]].to_numpy().tolist() == [[11, 10]]
    assert table["accuracy"].item() == pytest.approx(0.7)


def test_a_class_without_test_images_does_not_lower_the_balanced_accuracy() -> None:
    labels = np.array([0, 1, 0, 1])
    probabilities = np.eye(3, dtype=np.float32)[labels]
    scores = score_probabilities(labels, probabilities, NAMES, bins=5)
    assert (scores.balanced_accuracy, scores.macro_f1) == (1.0, 1.0)
    unseen = scores.per_class[2]
    assert (unseen.support, unseen.precision, unseen.recall, unseen.f1) == (0, None, None, None)


def test_a_class_is_no_worse_than_unknown_where_nothing_was_asked_of_it() -> None:
    labels, predicted = np.array([0, 0, 1]), np.array([0, 2, 0])
    scores = score_probabilities(labels, np.eye(3, dtype=np.float32)[predicted], NAMES, bins=5)
    found = [(one.precision, one.recall, one.f1, one.support) for one in scores.per_class]
    assert found == [(0.5, 0.5, 0.5, 2), (None, 0.0, 0.0, 1), (0.0, None, None, 0)]
    assert scores.balanced_accuracy == 0.25
    assert scores.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro")) == pytest.approx(0.5 / 3)


@given(st.integers(1, 40), st.integers(0, 10_000), st.integers(2, 20))
@settings(max_examples=25, deadline=None)
def test_no_score_is_ever_nan_or_out_of_range(n: int, seed: int, bins: int) -> None:
    labels, probabilities = _random(n, seed)
    scores = score_probabilities(labels, probabilities, NAMES, bins)
    for value in (scores.accuracy, scores.balanced_accuracy, scores.macro_f1, scores.ece):
        assert 0 <= value <= 1
    assert 0 <= scores.log_loss <= math.log(512)
