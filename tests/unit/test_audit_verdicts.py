"""Verdicts reach exactly the images they are about; clusters and labels follow; what is settled stays away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.artifacts import DUPLICATES, LABELS
from automl_cnn.audit.decisions import COLUMNS, DECISIONS, LINE, Decisions
from automl_cnn.audit.settled import Settled, relabels_of_test, review_progress, settle_labels
from automl_cnn.audit.verdicts import Resolved, apply_decisions, apply_to_duplicates


def sha(letter: str) -> str:
    return letter * 64


def manifest_of(*images: tuple[str, str]) -> pd.DataFrame:
    """(letter of the sha256, label) an image; image_id and path are its number."""
    return pd.DataFrame({
        "image_id": [str(i) for i in range(len(images))],
        "path": [f"{label}/{i}.png" for i, (_, label) in enumerate(images)],
        "label": [label for _, label in images], "sha256": [sha(letter) for letter, _ in images],
        "pixel_sha": [sha(letter) for letter, _ in images], "status": "ok",
    }).astype("str")  # fmt: skip


def decided_by(*rows: tuple[str, ...]) -> Decisions:
    """sha256 letter, issue, decision, then further cells in the order of COLUMNS."""
    cells = [[sha(row[0]), *row[1:], *[""] * (len(COLUMNS) - len(row))] for row in rows]
    return Decisions(pd.DataFrame(cells, columns=list(COLUMNS), dtype="str").assign(**{LINE: range(2, 2 + len(rows))}))


def clusters_of(manifest: pd.DataFrame, clusters: dict[str, list[int]], method: str = "phash") -> pd.DataFrame:
    rows = [
        (name, str(i), manifest["path"][i], method, 0.1, False) for name, members in clusters.items() for i in members
    ]
    return pd.DataFrame(rows, columns=list(DUPLICATES.columns))


def resolve(manifest: pd.DataFrame, duplicates: pd.DataFrame, decisions: Decisions) -> Resolved:
    return apply_to_duplicates(apply_decisions(manifest, decisions)[0], duplicates, decisions)


def test_a_decision_is_about_every_file_with_those_bytes_and_leaves_the_manifest_as_it_is() -> None:
    manifest = manifest_of(("a", "dog"), ("a", "cow"), ("b", "dog"), ("c", "cat"))
    decisions = decided_by(("a", "", "relabel", "cat"), ("b", "", "exclude"), ("f", "", "keep"))
    decided, problems = apply_decisions(manifest, decisions)
    assert decided["label"].tolist() == ["cat", "cat", "dog", "cat"]
    assert decided["given_label"].tolist() == manifest["label"].tolist() == ["dog", "cow", "dog", "cat"]
    assert decided["excluded"].tolist() == [False, False, True, False]
    assert [(problem.line, "which no file has" in problem.received) for problem in problems] == [(4, True)]


def test_without_decisions_nothing_changes() -> None:
    manifest = manifest_of(("a", "dog"), ("b", "dog"))
    duplicates = clusters_of(manifest, {"d1": [0, 1]})
    resolved = resolve(manifest, duplicates, decided_by())
    assert resolved.decided[manifest.columns].equals(manifest)
    assert not resolved.decided["excluded"].any()
    assert resolved.duplicates.equals(duplicates)
    assert (resolved.joins, resolved.problems) == ([], [])


def test_a_class_that_no_image_has_is_said_and_a_new_one_is_made_explicitly() -> None:
    manifest = manifest_of(("a", "dog"), ("b", "cat"), ("c", "dog"), ("d", "dog"))
    decided, problems = apply_decisions(manifest, decided_by(("a", "", "relabel", "cta"), ("b", "", "exclude")))
    assert decided["label"].tolist() == ["dog", "cat", "dog", "dog"]
    assert decided["excluded"].tolist() == [False, True, False, False]
    assert (problems[0].line, problems[0].received) == (2, "'cta'")
    assert "Did you mean 'cat'?" in problems[0].action
    assert "new:cta" in problems[0].action
    made = decided_by(("a", "", "relabel", "new:fox"), ("c", "", "relabel", "fox"), ("d", "", "relabel", "new:cat"))
    decided, problems = apply_decisions(manifest, made)
    assert decided["label"].tolist() == ["fox", "cat", "fox", "cat"]
    assert problems == []


def test_keep_one_excludes_the_copies_of_its_cluster_that_nobody_need_look_at() -> None:
    manifest = manifest_of(("a", "cat"), ("b", "cat"), ("c", "dog"), ("d", "dog"))
    manifest.loc[2, "pixel_sha"] = sha("b")  # the same pixels in another file, under another label
    duplicates = clusters_of(manifest, {"d1": [0, 1, 2]}).assign(label_conflict=True)
    resolved = resolve(manifest, duplicates, decided_by(("b", "near_duplicate", "keep_one")))
    assert resolved.decided["excluded"].tolist() == [True, False, True, False]
    assert not resolved.duplicates["label_conflict"].any()
    assert len(resolved.duplicates) == 3


def test_a_picture_under_another_label_that_joins_a_settled_cluster_is_a_conflict_again() -> None:
    manifest = manifest_of(("a", "cat"), ("b", "cat"), ("c", "dog"), ("d", "dog"))
    duplicates = clusters_of(manifest, {"d1": [0, 1, 2, 3]})
    seen = (("b", "near_duplicate", "keep_one"), ("c", "near_duplicate", "exclude"))
    resolved = resolve(manifest, duplicates, decided_by(*seen))
    assert resolved.decided["excluded"].tolist() == [True, False, True, False]
    assert resolved.duplicates["label_conflict"].all()
    answered = resolve(manifest, duplicates, decided_by(*seen, ("d", "near_duplicate", "exclude")))
    assert not answered.duplicates["label_conflict"].any()


def test_of_equal_bytes_under_two_labels_keep_one_keeps_the_label_that_it_names() -> None:
    manifest = manifest_of(("a", "dog"), ("a", "cat"), ("b", "fox"))
    duplicates = clusters_of(manifest, {"d1": [0, 1]}, "sha256")
    resolved = resolve(manifest, duplicates, decided_by(("a", "exact_duplicate", "keep_one", "cat")))
    assert resolved.decided["excluded"].tolist() == [True, False, False]
    relabelled = resolve(manifest, duplicates, decided_by(("a", "exact_duplicate", "keep_one", "fox")))
    assert relabelled.decided.loc[~relabelled.decided["excluded"], "label"].tolist() == ["fox", "fox"]
    unsaid = resolve(manifest, duplicates, decided_by(("a", "exact_duplicate", "keep_one")))
    assert not unsaid.decided["excluded"].any()
    assert "labelled cat and dog" in unsaid.problems[0].received


def test_split_group_takes_an_image_out_and_the_rest_stays_a_cluster() -> None:
    manifest = manifest_of(("a", "dog"), ("b", "dog"), ("c", "dog"), ("d", "dog"), ("e", "dog"))
    duplicates = clusters_of(manifest, {"d1": [0, 1, 2], "d2": [3, 4]})
    resolved = resolve(manifest, duplicates, decided_by(("a", "", "split_group"), ("d", "", "split_group")))
    assert resolved.duplicates[["cluster", "image_id"]].to_numpy().tolist() == [["d1", "1"], ["d1", "2"]]
    assert not resolved.decided["excluded"].any()


def test_exact_copies_cannot_be_split() -> None:
    manifest = manifest_of(("a", "dog"), ("b", "dog"))
    duplicates = clusters_of(manifest, {"d1": [0, 1]}, "pixels")
    resolved = resolve(manifest, duplicates, decided_by(("a", "", "split_group")))
    assert len(resolved.duplicates) == 2
    assert "Exact copies cannot be split" in resolved.problems[0].action


def test_a_decision_about_copies_of_an_image_that_has_none_is_said() -> None:
    manifest = manifest_of(("a", "dog"), ("b", "dog"), ("c", "dog"))
    duplicates = clusters_of(manifest, {"d1": [0, 1]})
    decisions = decided_by(("c", "", "keep_one"), ("a", "x", "keep_one"), ("b", "x", "keep_one"))
    resolved = resolve(manifest, duplicates, decisions)
    assert [problem.line for problem in resolved.problems] == [2, 4]
    assert "line 3 keeps another" in resolved.problems[1].received
    assert resolved.decided["excluded"].tolist() == [False, True, False]


def test_what_was_split_off_before_is_no_problem_when_the_same_decisions_are_applied_again() -> None:
    manifest = manifest_of(("a", "dog"), ("b", "dog"), ("c", "dog"), ("d", "dog"))
    decisions = decided_by(("a", "", "split_group"), ("d", "", "keep_one"))
    once = resolve(manifest, clusters_of(manifest, {"d1": [0, 1, 2]}), decisions)
    assert [problem.line for problem in once.problems] == [3]
    decided, _ = apply_decisions(manifest, decisions)
    assert apply_to_duplicates(decided, once.duplicates, decisions, again=True).problems == once.problems


def test_merge_group_joins_every_file_of_both_images() -> None:
    manifest = manifest_of(("a", "dog"), ("b", "dog"), ("b", "dog"), ("c", "dog"))
    resolved = resolve(manifest, clusters_of(manifest, {}), decided_by(("c", "", "merge_group", sha("b").upper())))
    assert [join[:2] for join in resolved.joins] == [("3", "1"), ("3", "2")]
    assert resolved.joins[0][2] == "merge_group in line 2 of decisions.csv"
    _, problems = apply_decisions(manifest, decided_by(("a", "", "merge_group", sha("f"))))
    assert "which no file has" in problems[0].received


images = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["cat", "dog"])), min_size=1, max_size=10)
lines = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.sampled_from(["", "near_duplicate"]), st.sampled_from(DECISIONS)),
    max_size=6,
)


@settings(max_examples=30, deadline=None)
@given(images, lines, st.data())
def test_applied_to_its_own_result_nothing_more_changes(
    found: list[tuple[str, str]], verdicts: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    manifest = manifest_of(*found)
    number = data.draw(st.lists(st.sampled_from(["d1", "d2"]), min_size=len(found), max_size=len(found)))
    duplicates = clusters_of(manifest, {name: [i for i, n in enumerate(number) if n == name] for name in ("d1", "d2")})
    new_label = {"relabel": "cat", "merge_group": sha("a")}
    decisions = decided_by(*((key, issue, verdict, new_label.get(verdict, "")) for key, issue, verdict in verdicts))
    once = resolve(manifest, duplicates, decisions)
    twice = resolve(manifest, once.duplicates, decisions)
    assert twice.decided.equals(once.decided)
    assert twice.duplicates.equals(once.duplicates)
    assert twice.joins == once.joins


def labels_of(manifest: pd.DataFrame, scores: list[float]) -> pd.DataFrame:
    table = manifest[["image_id", "path", "label"]].assign(
        suggested_label="cat",
        p_given=0.1,
        p_suggested=0.9,
        score=scores,
        rank=range(1, len(manifest) + 1),
        flagged=True,
    )
    return table[list(LABELS.columns)]


@pytest.mark.parametrize(
    ("line", "flagged", "said"),
    [
        (("a", "suspect_label", "keep", "", "", "", "", "2.2", "dog"), False, ""),
        (("a", "", "keep"), False, ""),
        (("a", "blurry", "keep"), True, ""),
        (("a", "suspect_label", "keep", "", "ana", "", "", "0.5", "dog"), True, "its score was 0.5 and is now 2.2"),
        (("a", "suspect_label", "keep", "", "", "", "", "2.2", "fox"), True, "its label was fox and is now dog"),
        (("a", "suspect_label", "relabel", "cow", "", "", "", "9", "dog"), False, ""),
        (("a", "suspect_label", "relabel", "dog", "", "", "", "9", "fox"), False, ""),
    ],
)
def test_a_decided_label_comes_back_only_with_another_label_or_score(
    line: tuple[str, ...], flagged: bool, said: str
) -> None:
    manifest = manifest_of(("a", "dog"), ("b", "cow"))
    decided, _ = apply_decisions(manifest, decided_by(line))
    settled = Settled(decided, decided_by(line))
    labels = settle_labels(labels_of(manifest, [2.2, 1.0]), decided, settled)
    assert labels["flagged"].tolist() == [flagged, True]
    why = settled.why_again(sha("a"), "suspect_label", 2.2)
    assert bool(why) == bool(said)
    assert said in str(why)


@pytest.mark.parametrize(("hits", "decided", "stop"), [(4, 50, True), (5, 50, False), (0, 49, False), (4, 80, True)])
def test_reviewing_may_stop_when_fewer_than_one_in_ten_of_the_last_fifty_were_wrong(
    hits: int, decided: int, stop: bool
) -> None:
    early = decided - 50  # of these all are hits, and no longer count
    rows = []
    for i in np.random.default_rng(1).permutation(decided).tolist():
        verdict = "exclude" if i < early or i >= decided - hits else "keep"
        rows.append((chr(0x100 + i), "suspect_label", verdict, "", "", f"2026-11-21T10:{i // 60:02d}:{i % 60:02d}Z"))
    manifest = manifest_of(*((row[0], "dog") for row in rows))
    state = review_progress(
        labels_of(manifest, [1.0] * decided), apply_decisions(manifest, decided_by())[0], decided_by(*rows)
    )
    assert state["stop"] is stop
    assert state["decided"] == decided
    if decided >= 50:
        assert state["last_fifty_precision"] == hits / 50


def test_relabels_of_test_images_are_named() -> None:
    manifest = manifest_of(("a", "dog"), ("b", "dog"), ("c", "cat"))
    decided, _ = apply_decisions(manifest, decided_by(("a", "", "relabel", "cat"), ("b", "", "relabel", "cat")))
    assert relabels_of_test(decided, {sha("a"): "test", sha("b"): "train", sha("c"): "test"}) == ["dog/0.png"]
    assert relabels_of_test(decided, {}) == []


def test_a_score_that_cannot_be_compared_brings_nothing_back(tmp_path: Path) -> None:
    line = ("a", "near_duplicate", "keep", "", "", "", "", "0.02", "dog")
    decided, _ = apply_decisions(manifest_of(("a", "dog")), decided_by(line))
    settled = Settled(decided, decided_by(line))
    assert settled.why_again(sha("a"), "exact_duplicate", float("nan")) is None
    assert settled.why_again(sha("a"), "near_duplicate", 0.05) is None
    assert "its score was 0.02" in str(settled.why_again(sha("a"), "near_duplicate", 0.2))


def test_what_was_seen_under_one_of_its_two_labels_is_settled_under_both() -> None:
    lines = [("a", "near_duplicate", "keep", "", "", "", "", "", label) for label in ("dog", "cat", "cow")]
    decided, _ = apply_decisions(manifest_of(("a", "dog"), ("a", "cat")), decided_by())
    said = [Settled(decided, decided_by(line)).why_again(sha("a"), "near_duplicate", 0.1) for line in lines]
    assert said == [None, None, "Decided before: keep; its label was cow and is now cat and dog."]


def test_the_score_of_another_issue_is_not_compared() -> None:
    line = ("a", "", "keep", "", "", "", "", "4.1", "dog")
    decided, _ = apply_decisions(manifest_of(("a", "dog")), decided_by(line))
    assert Settled(decided, decided_by(line)).why_again(sha("a"), "near_duplicate", 0.2) is None
