"""Wrong labels come first, and nothing vouches for itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from automl_cnn.audit.labels import find_label_issues, grouped_folds


def clouds(a_class: int, classes: int = 3) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    true = np.repeat(np.arange(classes), a_class)
    centres = rng.normal(0, 2, (classes, 20))
    ids = [f"{row:04d}" for row in range(len(true))]
    frame = pd.DataFrame({"image_id": ids, "path": ids, "label": [f"c{k}" for k in true]})
    return frame, (centres[true] + rng.normal(size=(len(true), 20))).astype(np.float32)


def singles(frame: pd.DataFrame) -> NDArray[np.object_]:
    return frame["image_id"].to_numpy(np.object_)


def test_swapped_labels_are_ranked_first_and_flagged() -> None:
    frame, embeddings = clouds(40)
    frame.loc[[3, 50, 100], "label"] = ["c1", "c2", "c0"]
    found = find_label_issues(frame, embeddings, singles(frame), folds=5, seed=1)
    assert set(found["image_id"][:3]) == {"0003", "0050", "0100"}
    assert found["flagged"][:3].sum() >= 2
    assert found["flagged"].sum() <= 6
    assert found.set_index("image_id").loc["0003", "suggested_label"] == "c0"
    assert found["rank"].tolist() == list(range(1, 121))


def test_a_label_that_a_reviewer_kept_is_not_flagged_again() -> None:
    frame, embeddings = clouds(40)
    frame.loc[3, "label"] = "c1"
    frame["decision"] = ""
    frame.loc[3, "decision"] = "keep"
    found = find_label_issues(frame, embeddings, singles(frame), folds=5, seed=1).set_index("image_id")
    assert found.loc["0003", "rank"] == 1
    assert not found.loc["0003", "flagged"]


def test_copies_under_the_same_wrong_label_do_not_vouch_for_each_other() -> None:
    frame, embeddings = clouds(40)
    wrong = [0, 1, 2, 3, 4, 5, 6, 7]
    embeddings[wrong] = embeddings[0]
    frame.loc[wrong, "label"] = "c1"
    groups = singles(frame)
    alone = find_label_issues(frame, embeddings, groups, folds=5, seed=1)
    groups[wrong] = "one tile"
    together = find_label_issues(frame, embeddings, groups, folds=5, seed=1)
    names = frame["image_id"][wrong]
    assert together.set_index("image_id").loc[names, "flagged"].all()
    assert (together.set_index("image_id").loc[names, "score"] > alone.set_index("image_id").loc[names, "score"]).all()


@pytest.mark.parametrize("labels", [["a"], ["a", "a", "a"], ["a", "b"], ["a", "a", "b"], ["a", "a", "a", "b", "b"]])
def test_tiny_sets_are_ranked_without_failing(labels: list[str]) -> None:
    ids = [str(row) for row in range(len(labels))]
    frame = pd.DataFrame({"image_id": ids, "path": ids, "label": labels})
    embeddings = np.random.default_rng(1).normal(size=(len(ids), 8)).astype(np.float16)
    found = find_label_issues(frame, embeddings, singles(frame), folds=5, seed=1)
    assert found["rank"].tolist() == list(range(1, len(ids) + 1))
    lone = [label for label in set(labels) if labels.count(label) == 1]
    assert not found.loc[found["label"].isin(lone), "flagged"].any()


def test_the_only_image_of_its_class_comes_last_and_is_not_judged() -> None:
    frame, embeddings = clouds(10, classes=2)
    frame.loc[4, "label"] = "rare"
    found = find_label_issues(frame, embeddings, singles(frame), folds=5, seed=1)
    assert found["label"].iloc[-1] == "rare"
    assert np.isnan(found["score"].iloc[-1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=40), st.integers(2, 6))
def test_no_group_is_in_two_folds(images: list[tuple[int, int]], folds: int) -> None:
    given_class, groups = np.array([k for k, _ in images]), np.array([str(g) for _, g in images], object)
    fold_of = grouped_folds(given_class, groups, folds, seed=1)
    assert all(len(set(fold_of[groups == group])) == 1 for group in groups)
    assert fold_of.min() >= 0
    assert fold_of.max() < folds
