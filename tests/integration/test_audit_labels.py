"""Wrong labels come first, and nothing vouches for itself."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from automl_cnn.audit import neighbours, second_opinion
from automl_cnn.audit.ensemble import RIDGE, LeaveGroupOutRidge
from automl_cnn.audit.folds import grouped_folds, rows_of_groups, seen_elsewhere
from automl_cnn.audit.health import estimate_noise
from automl_cnn.audit.labels import LabelFindings, find_label_issues
from automl_cnn.audit.neighbours import nearest_of_other_groups
from automl_cnn.audit.search import nearest
from automl_cnn.errors import ConfigError


def clouds(a_class: int, classes: int = 3) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    true = np.repeat(np.arange(classes), a_class)
    centres = rng.normal(0, 2, (classes, 20))
    ids = [f"{row:04d}" for row in range(len(true))]
    frame = pd.DataFrame({"image_id": ids, "path": ids, "label": [f"c{k}" for k in true]})
    return frame, (centres[true] + rng.normal(size=(len(true), 20))).astype(np.float32)


def singles(frame: pd.DataFrame) -> NDArray[np.object_]:
    return frame["image_id"].to_numpy(np.object_)


def find(
    frame: pd.DataFrame, embeddings: NDArray[np.floating], groups: NDArray[np.object_] | None = None
) -> LabelFindings:
    groups = singles(frame) if groups is None else groups
    return find_label_issues(frame, embeddings, groups, folds=5, seed=1)


def with_three_swaps() -> tuple[pd.DataFrame, NDArray[np.float32]]:
    frame, embeddings = clouds(40)
    frame.loc[[3, 50, 100], "label"] = ["c1", "c2", "c0"]
    return frame, embeddings


def test_swapped_labels_are_ranked_first_and_flagged() -> None:
    found = find(*with_three_swaps()).table
    assert set(found["image_id"][:3]) == {"0003", "0050", "0100"}
    assert found["flagged"][:3].all()
    assert found["flagged"].sum() <= 6
    assert found.set_index("image_id").loc["0003", "suggested_label"] == "c0"
    assert found["rank"].tolist() == list(range(1, 121))


def test_the_report_says_how_many_are_wrong_where_to_stop_and_which_class_is_taken_for_which() -> None:
    report = find(*with_three_swaps()).report
    assert report["noise"]["low"] <= 3 / 120 <= report["noise"]["high"]
    assert 3 <= report["cutoff"]["images"] <= 6
    assert report["cutoff"]["expected_precision"] > 0.5
    classes = {row["label"]: row for row in report["classes"]}
    assert classes["c1"]["images"] == 40
    assert classes["c1"]["confused_with"] == "c0"
    assert classes["c0"]["noise"]["low"] <= classes["c0"]["noise"]["rate"] <= classes["c0"]["noise"]["high"]


def test_the_order_of_the_rows_changes_nothing() -> None:
    frame, embeddings = with_three_swaps()
    shuffled = np.random.default_rng(2).permutation(len(frame))
    there, here = find(frame, embeddings), find(frame.iloc[shuffled], embeddings[shuffled])
    pd.testing.assert_frame_equal(there.table, here.table)
    assert there.report == here.report


def test_copies_under_the_same_wrong_label_do_not_vouch_for_each_other() -> None:
    frame, embeddings = clouds(40)
    wrong = [0, 1, 2, 3, 4, 5, 6, 7]
    embeddings[wrong] = embeddings[0]
    frame.loc[wrong, "label"] = "c1"
    groups = singles(frame)
    alone = find(frame, embeddings, groups).table.set_index("image_id")
    groups[wrong] = "one tile"
    together = find(frame, embeddings, groups).table.set_index("image_id")
    names = frame["image_id"][wrong]
    assert (together.loc[names, "rank"] <= len(wrong)).all()
    assert (together.loc[names, "score"] > alone.loc[names, "score"]).all()


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "a", "a"], ["a", "b"], ["a", "a", "b"], ["a", "a", "a", "b", "b"]])
def test_tiny_sets_are_ranked_without_failing(labels: list[str]) -> None:
    ids = [str(row) for row in range(len(labels))]
    frame = pd.DataFrame({"image_id": ids, "path": ids, "label": labels})
    embeddings = np.random.default_rng(1).normal(size=(len(ids), 8)).astype(np.float16)
    findings = find(frame, embeddings)
    assert findings.table["rank"].tolist() == list(range(1, len(ids) + 1))
    lone = [label for label in set(labels) if labels.count(label) == 1]
    assert not findings.table.loc[findings.table["label"].isin(lone), "flagged"].any()
    assert [row["label"] for row in findings.report["classes"]] == sorted(set(labels))


def test_the_only_image_of_its_class_comes_last_and_is_not_judged() -> None:
    frame, embeddings = clouds(10, classes=2)
    frame.loc[4, "label"] = "rare"
    found = find(frame, embeddings)
    assert found.table["label"].iloc[-1] == "rare"
    assert np.isnan(found.table["score"].iloc[-1])
    assert found.report["judged"] == 19


def test_neighbours_are_of_other_groups_and_carry_their_labels() -> None:
    frame, embeddings = clouds(20)
    embeddings[1] = embeddings[0]
    groups = singles(frame)
    groups[[0, 1]] = "one shirt"
    found = find(frame, embeddings, groups).table.set_index("image_id")
    near = json.loads(found.loc["0000", "neighbours"])
    assert "0001" not in [image_id for image_id, _, _ in near]
    assert [label for _, label, _ in near].count("c0") >= 4
    similarity = [alike for _, _, alike in near]
    assert similarity == sorted(similarity, reverse=True)
    assert nearest_of_other_groups(embeddings[:2], groups[:2])[0].tolist() == [[-1] * 6] * 2


def test_in_a_large_set_neighbours_come_from_an_index_and_are_those_of_comparing_all() -> None:
    frame, embeddings = clouds(100)
    groups = singles(frame)
    groups[:30] = "one shirt"
    exact, alike = nearest_of_other_groups(embeddings, groups)
    indexed, alike_too = nearest_of_other_groups(embeddings, groups, index_above=100)
    assert (exact == indexed).mean() > 0.99  # of equals the order may differ
    np.testing.assert_allclose(alike_too, alike, atol=1e-5)
    small = find_label_issues(frame, embeddings, groups, folds=5, seed=1)
    large = find_label_issues(frame, embeddings, groups, folds=5, seed=1, index_above=100)
    assert (small.table["neighbours"] == large.table["neighbours"]).mean() > 0.95


def test_more_images_than_the_limit_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, embeddings = clouds(20)
    asked = []
    monkeypatch.setattr(neighbours, "nearest", lambda *given: asked.append(given[2]) or nearest(*given))
    find_label_issues(frame, embeddings, singles(frame), folds=5, seed=1, index_above=59)
    assert asked == [59]
    find_label_issues(frame, embeddings, singles(frame), folds=5, seed=1, index_above=60)
    assert asked == [59]


def test_ridge_answers_for_a_group_are_those_of_a_ridge_that_never_saw_it() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
    names = np.array([*"aaaaaaaaaabbbbbccd", *map(str, range(12))], object)
    groups = rows_of_groups(names)
    predicted = LeaveGroupOutRidge(x, groups).predict(y)
    full = np.c_[x, np.ones(30)]
    penalty = np.diag([RIDGE] * 4 + [RIDGE * 1e-3])
    for rows in groups:
        rest = np.setdiff1d(np.arange(30), rows)
        weights = np.linalg.solve(full[rest].T @ full[rest] + penalty, full[rest].T @ y[rest])
        np.testing.assert_allclose(predicted[rows], full[rows] @ weights, atol=1e-8)


def test_the_ridge_holds_its_coordinates_once() -> None:
    x = np.random.default_rng(4).normal(size=(20_000, 60)).astype(np.float32)
    groups = rows_of_groups(np.arange(len(x)).astype(str).astype(object))
    tracemalloc.start()
    ridge = LeaveGroupOutRidge(x, groups)
    ridge.predict(np.eye(2)[np.arange(len(x)) % 2])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1.5 * x.size * 8


@pytest.mark.parametrize("injected", [0.05, 0.2])
def test_the_noise_rate_is_estimated_where_classes_overlap(injected: float) -> None:
    rng = np.random.default_rng(4)
    centre = np.repeat(np.arange(4), 300)
    logits = rng.normal(0, 1.5, (1200, 4)) + 4 * np.eye(4)[centre]
    clean = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = np.array([rng.choice(4, p=row) for row in clean])
    wrong = rng.random(1200) < injected
    labels = np.where(wrong, (true + rng.integers(1, 4, 1200)) % 4, true)
    rate, low, high = estimate_noise(clean, labels)
    assert low <= wrong.mean() <= high
    assert high - low < 0.2
    assert abs(rate - wrong.mean()) < 0.05


def test_a_second_opinion_without_cleanlab_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_opinion, "find_spec", lambda name: None)
    frame, embeddings = clouds(5)
    with pytest.raises(ConfigError, match=r"audit\.second_opinion: expected .*; received .*pip install"):
        find_label_issues(frame, embeddings, singles(frame), folds=5, seed=1, second_opinion=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=40), st.integers(2, 6))
def test_no_group_is_in_two_folds(images: list[tuple[int, int]], folds: int) -> None:
    given_class, groups = np.array([k for k, _ in images]), np.array([str(g) for _, g in images], object)
    fold_of = grouped_folds(given_class, groups, folds, seed=1)
    assert all(len(set(fold_of[groups == group])) == 1 for group in groups)
    assert fold_of.min() >= 0
    assert fold_of.max() < folds
    assert sorted(np.concatenate(rows_of_groups(groups)).tolist()) == list(range(len(images)))
    for k, seen in zip(given_class, seen_elsewhere(given_class, groups), strict=True):
        assert seen == (len(set(groups[given_class == k])) > 1)
