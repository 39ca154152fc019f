"""What differs between two runs is found by pictures, not by paths, and the same run differs in nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import FEW, run_of, snapshot

from automl_cnn.tracking.compare import describe
from automl_cnn.tracking.differences import as_json, find_differences
from automl_cnn.tracking.pairs import ENOUGH, compare_pairs, pair_images


def test_a_run_differs_from_itself_in_nothing() -> None:
    found = find_differences(run_of(), run_of(), FEW)
    assert not any((found.class_counts, found.params, found.decisions_added, found.changed, found.notes))
    assert found.images.added == found.images.removed == found.images.relabelled == found.images.moved == ()
    assert found.paired is not None
    assert found.paired.verdict == "too_small_to_tell"
    said = "\n".join(describe(found))
    assert not [line for line in said.splitlines() if line != line.rstrip()]
    assert "Data: the same 80 images" in said
    assert "Parameters: the same" in said
    assert "Answers: 0 of 40 images changed" in said


def test_pictures_that_came_went_moved_and_changed_their_label_are_named() -> None:
    before = run_of()
    images = before.images.drop(index=[0]).copy()
    images.loc[4, "path"] = "cat/renamed.png"
    images.loc[8, "label"] = "dog"
    images.loc[12, "split"] = "test"
    new = images.iloc[[0]].assign(image_id="new", path="dog/new.png", pixel_sha="new", split="train")
    now = snapshot(pd.concat([images, new], ignore_index=True), 0.5, ("cat", "dog"))
    found = find_differences(before, now, FEW)
    assert found.images.added == ("dog/new.png",)
    assert found.images.removed == ("cat/000.png",)
    assert found.images.renamed == (("cat/004.png", "cat/renamed.png"),)
    assert found.images.relabelled == (("cat/008.png", "cat", "dog"),)
    assert found.images.moved == (("cat/012.png", "train", "test"),)
    assert found.class_counts == {"cat": (40, 39), "dog": (40, 41)}
    assert found.notes == ("The test splits differ: 40 images are in both, 0 only in the first, 1 only in the second.",)


COPIES = pd.DataFrame(
    {
        "image_id": list("abc"), "path": ["cat/a.png", "cat/b.png", "dog/c.png"], "label": ["cat", "cat", "dog"],
        "group": list("abc"), "split": "train", "sha256": ["1", "1", "1"], "pixel_sha": "the same picture",
    }
)  # fmt: skip


def changes(now: pd.DataFrame, before: pd.DataFrame = COPIES) -> dict[str, tuple[Any, ...]]:
    """What is told of the images' changes, without what is empty."""
    runs = [replace(run_of(), images=images) for images in (before, now)]
    return {kind: told for kind, told in vars(find_differences(runs[0], runs[1], FEW).images).items() if told}


def test_of_copies_of_one_picture_the_one_that_went_is_named_and_the_others_did_not_change() -> None:
    assert changes(COPIES.drop(index=0)) == {"removed": ("cat/a.png",)}
    assert changes(COPIES, before=COPIES.drop(index=0)) == {"added": ("cat/a.png",)}


def test_of_copies_of_one_picture_the_one_that_was_renamed_or_relabelled_is_named() -> None:
    assert changes(COPIES.replace("cat/a.png", "dog/z.png")) == {"renamed": (("cat/a.png", "dog/z.png"),)}
    assert changes(COPIES.assign(label=["dog", "cat", "dog"])) == {"relabelled": (("cat/a.png", "cat", "dog"),)}


def test_files_that_cannot_be_read_are_told_apart_by_their_bytes_or_paths() -> None:
    broken = COPIES.assign(pixel_sha="", sha256=["1", "2", ""])
    assert changes(broken, before=broken) == {}
    assert changes(broken.drop(index=0), before=broken) == {"removed": ("cat/a.png",)}
    assert changes(broken.replace("cat/b.png", "cat/d.png"), broken) == {"renamed": (("cat/b.png", "cat/d.png"),)}


def test_copies_in_the_test_split_are_judged_by_their_own_labels() -> None:
    table = run_of().predictions.head(4).assign(
        pixel_sha="one", path=["w", "x", "y", "z"], image_id=["9", "1", "5", "3"], label=["cat", "dog", "cat", "dog"],
    )  # fmt: skip
    pairs = pair_images(replace(run_of(), predictions=table), replace(run_of(), predictions=table.drop(index=1)))
    assert pairs.table["path"].tolist() == ["w", "y", "z"]
    assert (pairs.only_first, pairs.only_second, pairs.relabelled) == (1, 0, 0)


def test_params_and_decisions_that_differ_are_listed_with_both_values() -> None:
    decisions = pd.DataFrame(
        [{"sha256": f"{3:064x}", "issue": "suspect_label", "decision": "relabel", "new_label": "cat"}]
    )
    now = run_of(params={"search.preset": "best", "new.key": "1"}, decisions=decisions)
    found = find_differences(run_of(), now, FEW)
    assert found.params == {"search.preset": ("quick", "best"), "new.key": (None, "1")}
    assert found.decisions_added == ("dog/003.png: relabel as cat (suspect_label)",)
    assert find_differences(now, run_of(), FEW).decisions_removed == found.decisions_added
    assert "search.preset: quick → best" in "\n".join(describe(found))


def test_a_decision_to_exclude_an_image_names_the_path_that_the_other_run_has() -> None:
    excluded = pd.DataFrame([{"sha256": f"{3:064x}", "issue": "", "decision": "exclude", "new_label": ""}])
    now = replace(run_of(decisions=excluded), images=run_of().images.drop(index=3))
    assert find_differences(run_of(), now, FEW).decisions_added == ("dog/003.png: exclude",)


def test_what_the_audits_found_and_which_decisions_were_applied_is_compared() -> None:
    before = {"issues": {"by_kind": {"blurry": 2, "suspect_label": 3}}, "decisions": {"applied": {}, "problems": []}}
    now = {"issues": {"by_kind": {"blurry": 2}}, "decisions": {"applied": {"relabel": 1}, "problems": [{"line": 4}]}}
    found = find_differences(run_of(audit=before), run_of(audit=now), FEW)
    said = "\n".join(describe(found))
    assert "Audit\n  decisions.not_applied: 0 → 1\n  decisions.relabel: 0 → 1\n  issues.suspect_label: 3 → 0\n" in said
    assert as_json(found)["audit"]["issues.suspect_label"] == {"first": 3, "second": 0}
    lacking = find_differences(run_of(), run_of(audit=now), FEW)
    assert "decisions.relabel: not recorded → 1" in "\n".join(describe(lacking))
    assert "Audit: the same" in "\n".join(describe(find_differences(run_of(audit=now), run_of(audit=now), FEW)))


def test_every_score_is_printed_with_its_interval() -> None:
    runs = run_of(right=0.5), run_of(right=0.9)
    for run, interval in zip(runs, ([0.35, 0.65], [0.8, 0.95]), strict=True):
        run.metrics["test"]["accuracy_ci95"] = interval
    found = find_differences(*runs, FEW)
    [line] = [line for line in describe(found) if line.startswith("  accuracy")]
    assert " ".join(line.split()).startswith("accuracy 0.5000 (0.3500 to 0.6500) 0.9000 (0.8000 to 0.9500) +0.4000")
    assert as_json(found)["intervals"]["accuracy"] == {"first": (0.35, 0.65), "second": (0.8, 0.95)}


def test_a_model_that_is_right_on_many_more_images_is_better_and_its_answers_are_listed() -> None:
    found = find_differences(run_of(right=0.5), run_of(right=0.9), FEW)
    assert found.paired is not None
    assert found.paired.verdict == "better"
    assert len(found.changed) == 16
    assert all(second == label != first for _, label, first, second in found.changed)
    assert "16 are right now, 0 no longer" in "\n".join(describe(found))


def test_what_is_printed_for_machines_is_json_and_holds_every_changed_answer() -> None:
    told = json.loads(json.dumps(as_json(find_differences(run_of(right=0), run_of(right=1), FEW)), allow_nan=False))
    assert len(told["changed"]) == 40
    assert told["paired"]["verdict"] == "better"
    assert set(told["paired"]["differences"]) >= {"accuracy", "macro_f1", "log_loss"}


def test_images_are_paired_by_their_pixels_when_every_file_has_another_name() -> None:
    renamed = run_of()
    table = renamed.predictions.assign(image_id=[f"other{i}" for i in range(40)], path="elsewhere.png")
    pairs = pair_images(run_of(), replace(renamed, predictions=table.sample(frac=1, random_state=1)))
    assert len(pairs.table) == 40
    assert (pairs.first == pairs.second).all()


def test_a_class_that_one_model_does_not_know_counts_against_it() -> None:
    wider = run_of(classes=("cat", "dog", "owl"))
    pairs = pair_images(run_of(), wider)
    assert pairs.class_names == ("cat", "dog", "owl")
    assert (pairs.first[:, 2] == 0).all()


def test_the_newer_label_judges_both_and_it_is_said() -> None:
    table = run_of().predictions
    newer = replace(run_of(), predictions=table.assign(label=["dog", *table["label"][1:]]))
    pairs = pair_images(run_of(), newer)
    assert pairs.class_names[pairs.labels[0]] == "dog"
    assert "1 of them were relabelled" in " ".join(pairs.notes())


@pytest.mark.parametrize(("shared", "told"), [(ENOUGH - 1, False), (ENOUGH, True)])
def test_too_few_common_images_are_not_compared(shared: int, told: bool) -> None:
    other = replace(run_of(), predictions=run_of().predictions.head(shared))
    assert (compare_pairs(pair_images(run_of(), other), FEW) is not None) == told


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(12)), st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_every_picture_is_paired_with_itself_whatever_the_order_and_the_copies(
    order: list[int], pixels: list[int]
) -> None:
    table = run_of(24).predictions.assign(pixel_sha=[f"p{value}" for value in pixels])
    pairs = pair_images(
        replace(run_of(24), predictions=table), replace(run_of(24), predictions=table.iloc[list(order)])
    )
    assert len(pairs.table) == 12
    assert (pairs.first == pairs.second).all()
    assert pairs.only_first == pairs.only_second == pairs.relabelled == 0
