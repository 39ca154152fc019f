"""The laws of the split: no group crosses, every class is everywhere, the same input gives the same split."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.artifacts import DUPLICATES, JOINS, NEAR_PAIRS
from automl_cnn.audit.decisions import read_decisions
from automl_cnn.config import SplitParams
from automl_cnn.curate.divide import Audited, divide
from automl_cnn.errors import SplitError
from automl_cnn.split.assign import Split, split_images
from automl_cnn.split.groups import group_images
from automl_cnn.split.ledger import read_ledger
from automl_cnn.split.proof import SIDES
from automl_cnn.split.solver import Assignment, assign_groups
from automl_cnn.split.union import read_links

NO_DUPLICATES = pd.DataFrame(columns=list(DUPLICATES.columns))


def images(rows: list[tuple[str, str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(label, group) a row → manifest after decisions, groups."""
    ids = [f"i{number:05d}" for number in range(len(rows))]
    decided = pd.DataFrame({
        "image_id": ids, "path": ids, "label": [label for label, _ in rows], "status": "ok", "excluded": False,
    })  # fmt: skip
    return decided, pd.DataFrame({"image_id": ids, "group": [group for _, group in rows], "reason": ""})


def split(rows: list[tuple[str, str]], seed: int = 1) -> Split:
    return split_images(*images(rows), NO_DUPLICATES, SplitParams(seed=seed))


def solve(counts: pd.DataFrame) -> Assignment:
    return assign_groups(list(counts.index), counts.to_numpy(), [0.7, 0.15, 0.15], 1)


@st.composite
def mixed_groups(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Two to four classes; groups hold one or two of them; each class has three groups of its own."""
    labels = [f"c{k}" for k in range(draw(st.integers(2, 4)))]
    rows = [(label, f"{label}-{own}") for label in labels for own in range(3)]
    for number in range(draw(st.integers(0, 12))):
        held = draw(st.lists(st.sampled_from(labels), min_size=1, max_size=2))
        rows += [(label, f"g{number}") for label in held for _ in range(draw(st.integers(1, 6)))]
    return rows


@settings(max_examples=8, deadline=None)
@given(mixed_groups())
def test_no_group_crosses_and_every_class_is_on_every_side(rows: list[tuple[str, str]]) -> None:
    result = split(rows)
    assert (result.table.groupby("group")["split"].nunique() == 1).all()
    assert (result.table.groupby("label")["split"].nunique() == 3).all()
    assert result.report["leaks"] == 0
    assert result.report["missing_classes"] == []


@settings(max_examples=4, deadline=None)
@given(mixed_groups())
def test_the_order_of_the_groups_does_not_matter(rows: list[tuple[str, str]]) -> None:
    counts = pd.crosstab(pd.Series([g for _, g in rows]), pd.Series([label for label, _ in rows]))
    shuffled = counts.sample(frac=1, random_state=1)
    first, second = (dict(zip(frame.index, solve(frame).sides.tolist(), strict=True)) for frame in (counts, shuffled))
    assert first == second


def test_the_seed_decides_which_of_equal_images_goes_where() -> None:
    rows = [(label, f"{label}{number}") for label in "ab" for number in range(100)]
    assert split(rows).table.equals(split(rows).table)
    assert not split(rows).table["split"].equals(split(rows, seed=2).table["split"])


def test_single_images_are_split_as_wished_to_the_image() -> None:
    report = split([("a", f"a{n}") for n in range(400)] + [("b", f"b{n}") for n in range(100)]).report
    assert report["images"] == {"test": 75, "train": 350, "validation": 75}
    assert max(report["class_distance"].values()) == 0


def test_three_groups_a_class_are_enough() -> None:
    report = split([(label, f"{label}{group}") for label in "ab" for group in range(3) for _ in range(5)]).report
    assert report["images"] == {"test": 10, "train": 10, "validation": 10}


def test_a_class_with_two_groups_is_named_with_its_groups_and_what_to_do() -> None:
    rows = [("a", f"a{n}") for n in range(9)] + [("rare", "r1"), ("rare", "r1"), ("rare", "r2")]
    said = (
        r"rare \(3 images in 2 groups: r1, r2\)\. Collect 1 more group of rare, merge rare with another class, or excl"
    )
    with pytest.raises(SplitError, match=said):
        split(rows)


def test_the_class_that_shares_a_group_is_offered_for_a_merger() -> None:
    rows = [(label, f"{label}{n}") for label in "ab" for n in range(9)] + [("rare", "b1"), ("rare", "r2")]
    with pytest.raises(SplitError, match="merge rare with b"):
        split(rows)


def test_the_source_of_groups_that_makes_a_class_impossible_is_offered_to_be_left_out() -> None:
    """Rare has three folders, and one session joins two of them; leaving the folders out would tear more apart."""
    rows = [(label, f"{label}{n // 3}") for label in "ab" for n in range(18)]
    rows += [("rare", f"r{n // 2}") for n in range(6)]
    decided, _ = images(rows)
    decided = decided.assign(sha256=decided["image_id"], pixel_sha=decided["image_id"], folder=[g for _, g in rows])
    decided["session"] = np.where(decided["folder"].isin(["r0", "r1"]), "monday", decided["image_id"])
    joins = [
        (first, other, source, value)
        for source in ("folder", "session")
        for value, same in decided.groupby(source)["image_id"]
        for first, other in [(same.iloc[0], name) for name in same.iloc[1:]]
    ]
    table = pd.DataFrame(joins, columns=list(JOINS.columns)).astype("str")
    ids = decided["image_id"].to_numpy(dtype=object)
    groups = group_images(ids, read_links(table, ids))
    with pytest.raises(SplitError) as caught:
        split_images(decided, groups, NO_DUPLICATES, SplitParams(), joins=table)
    assert "rare (6 images in 2 groups: folder r0, r1; session monday, folder r2)" in caught.value.received
    assert caught.value.action.startswith("Leave session out of split.group_by: rare then has 3 groups, but 4 images")


def test_what_could_be_given_up_is_computed_without_the_images_out_of_use() -> None:
    """A folder joins two images of rare; an excluded image alone would join one of them to the third."""
    rows = [(label, f"{label}{n}") for label in "ab" for n in range(9)]
    decided, groups = images([*rows, ("rare", "r0"), ("rare", "r1"), ("rare", "r1"), ("rare", "x")])
    decided.loc[21, "excluded"] = True
    joins = [("i00020", "i00019", "folder", "f"), ("i00021", "i00018", "session", "s"), ("i00021", "i00019", "to", "t")]
    table = pd.DataFrame(joins, columns=list(JOINS.columns)).astype("str")
    with pytest.raises(SplitError, match="Leave folder out of split.group_by: rare then has 3 groups"):
        split_images(decided, groups, NO_DUPLICATES, SplitParams(), joins=table)


def test_one_class_is_an_error() -> None:
    with pytest.raises(SplitError, match="at least two classes"):
        split([("a", f"a{n}") for n in range(9)])


def test_groups_too_entangled_for_three_sides_are_an_error_that_names_the_class_in_the_way() -> None:
    holders = {"a": "123", "b": "124", "c": "134", "d": "234"}
    with pytest.raises(SplitError, match="entangled that no split exists: a stands in 3 groups .1, 2, 3"):
        split([(label, group) for label, groups in holders.items() for group in groups])


@settings(max_examples=6, deadline=None)
@given(mixed_groups(), st.data())
def test_groups_that_stood_somewhere_stay_there(rows: list[tuple[str, str]], data: st.DataObject) -> None:
    decided, groups = images(rows)
    of = dict(zip(groups["image_id"], groups["group"], strict=True))
    side_of = {name: data.draw(st.sampled_from(["", *SIDES])) for name in sorted(set(of.values()))}
    earlier = {image: side_of[group] for image, group in of.items() if side_of[group]}
    table = split_images(decided, groups, NO_DUPLICATES, SplitParams(), earlier).table
    assert dict(zip(table["image_id"], table["split"], strict=True)).items() >= earlier.items()
    assert (table.groupby("group")["split"].nunique() == 1).all()


def test_a_class_that_the_ledger_keeps_off_a_side_is_a_warning_that_says_why() -> None:
    decided, groups = images([(label, f"{label}{n}") for label in "abc" for n in range(8)])
    stood = {"a": ("train", "validation", "test"), "b": ("train", "train", "test"), "c": ("train",)}
    group = dict(zip(groups["image_id"], groups["group"], strict=True))
    earlier = {image: stood[name[0]][int(name[1]) % len(stood[name[0]])] for image, name in group.items()}
    report = split_images(decided, groups, NO_DUPLICATES, SplitParams(), earlier).report
    assert {(line["class"], line["split"]) for line in report["missing_classes"]} == {
        ("b", "validation"), ("c", "validation"), ("c", "test"),
    }  # fmt: skip
    assert report["warnings"] == [
        "Class b has no image in validation: its 8 groups stand where the ledger has them (train 6, test 2). "
        "Add images of other groups, or split anew with `automl-cnn resplit`.",
        "Class c has no image in validation and test: its 8 groups stand where the ledger has them (train 8). "
        "Add images of other groups, or split anew with `automl-cnn resplit`.",
    ]


def test_new_groups_that_cannot_bring_a_class_to_every_side_are_told_from_old_ones() -> None:
    decided, groups = images([("a", f"a{n}") for n in range(6)] + [("b", f"b{n}") for n in range(3)])
    earlier = dict(zip(decided["image_id"], [*SIDES * 2, "train", "train"], strict=False))
    (warning,) = split_images(decided, groups, NO_DUPLICATES, SplitParams(), earlier).report["warnings"]
    assert "of its 3 groups 2 stand where the ledger has them (train 2); the others are too few" in warning


def test_a_split_with_every_class_everywhere_has_no_warning() -> None:
    assert split([(label, f"{label}{n}") for label in "ab" for n in range(9)]).report["warnings"] == []


@settings(max_examples=4, deadline=None)
@given(mixed_groups(), st.integers(2, 4))
def test_folds_partition_train_and_validation_and_tear_no_group(rows: list[tuple[str, str]], folds: int) -> None:
    result = split_images(*images(rows), NO_DUPLICATES, SplitParams(folds=folds))
    inside = result.table["split"].isin(["train", "validation"])
    assert ((result.table["fold"] >= 0) == inside).all()
    assert set(result.table.loc[inside, "fold"]) == set(range(folds))
    assert (result.table.groupby("group")["fold"].nunique() == 1).all()
    proof = result.report["folds"]
    assert (proof["leaks"], sum(proof["images"])) == (0, int(inside.sum()))


def test_more_folds_than_groups_are_an_error_that_says_how_many_there_can_be() -> None:
    with pytest.raises(SplitError, match="Set split.folds to 4 or less"):
        split_images(*images([(k, f"{k}{n}") for k in "ab" for n in range(3)]), NO_DUPLICATES, SplitParams(folds=9))


def test_an_image_left_out_is_in_quarantine_with_its_reason_and_counts_nowhere() -> None:
    decided, groups = images([(label, f"{label}{n}") for label in "ab" for n in range(20)])
    result = split_images(decided, groups, NO_DUPLICATES, SplitParams(), left_out={"i00003": "would join two sides"})
    assert result.table.loc[3, ["split", "reason"]].tolist() == ["quarantine", "would join two sides"]
    assert result.report["images"]["quarantine"] == 1


def test_broken_and_excluded_images_are_in_quarantine_with_the_reason() -> None:
    decided, groups = images([(label, f"{label}{n}") for label in "ab" for n in range(20)])
    decided.loc[3, "status"] = "truncated"
    decided.loc[5, "excluded"] = True
    table = split_images(decided, groups, NO_DUPLICATES, SplitParams()).table
    assert table.loc[[3, 5], "split"].tolist() == ["quarantine", "quarantine"]
    assert table.loc[[3, 5], "reason"].tolist() == ["broken: truncated", "excluded by a reviewer"]
    assert (table["split"] == "quarantine").sum() == 2


def test_a_cluster_of_duplicates_that_no_group_holds_together_is_counted_as_a_leak() -> None:
    decided, groups = images([(label, f"{label}{n}") for label in "ab" for n in range(20)])
    rows = [("d1", name, name, "phash", 0.1, False) for name in decided["image_id"]]
    duplicates = pd.DataFrame(rows, columns=list(DUPLICATES.columns))
    report = split_images(decided, groups, duplicates, SplitParams()).report
    assert (report["leaks"], report["leaking_groups"], report["leaking_duplicate_clusters"]) == (1, 0, 1)
    assert report["warnings"] == [
        "The split leaks: 0 groups and 1 cluster of duplicates stand on more than one side. "
        "Accuracy will be overstated."
    ]


def test_of_equally_large_groups_the_first_by_name_is_told_as_the_largest() -> None:
    decided, groups = images([(label, f"{label}{n % 9}") for label in "ba" for n in range(18)])
    for order in (slice(None), slice(None, None, -1)):
        report = split_images(decided[order], groups, NO_DUPLICATES, SplitParams()).report
        assert report["largest_group"] == {"group": "a0", "images": 2}


@settings(max_examples=4, deadline=None)
@given(mixed_groups(), st.integers(0, 99))
def test_the_order_of_the_images_does_not_matter(rows: list[tuple[str, str]], seed: int) -> None:
    decided, groups = images(rows)
    first = split_images(decided, groups, NO_DUPLICATES, SplitParams(folds=2))
    shuffled = decided.sample(frac=1, random_state=seed).reset_index(drop=True)
    second = split_images(shuffled, groups.sample(frac=1, random_state=seed + 1), NO_DUPLICATES, SplitParams(folds=2))
    columns = ["image_id", "group", "split", "fold"]
    assert first.table[columns].equals(second.table.sort_values("image_id", ignore_index=True)[columns])
    assert first.report == second.report


def audited_of(decided: pd.DataFrame, groups: pd.DataFrame, **tables: pd.DataFrame) -> Audited:
    tables_of = {"duplicates": DUPLICATES, "near_pairs": NEAR_PAIRS, "joins": JOINS}
    empty = {name: pd.DataFrame(columns=list(table.columns)) for name, table in tables_of.items()}
    return Audited(
        manifest=decided.drop(columns="excluded"), groups=groups, decisions=read_decisions(Path("absent")),
        **(empty | tables),
    )  # fmt: skip


def test_near_copies_that_no_cluster_holds_together_are_counted_where_they_stand_on_two_sides() -> None:
    decided, groups = images([(label, f"{label}{n}") for label in "ab" for n in range(40)])
    decided = decided.assign(sha256=decided["image_id"], pixel_sha=decided["image_id"])
    embed = lambda rows: np.zeros((len(rows), 2))  # noqa: E731
    whole = divide(audited_of(decided, groups), read_ledger(Path("absent")), embed, SplitParams())
    side = whole.table.set_index("image_id")["split"]
    names = decided["image_id"].tolist()
    pairs = pd.DataFrame({"image_id": names[:-1], "other_image_id": names[1:], "distance": 0.1})
    apart = sum(side[first] != side[second] for first, second in pairwise(names))
    assert apart > 0
    told = divide(audited_of(decided, groups, near_pairs=pairs), read_ledger(Path("absent")), embed, SplitParams())
    assert (whole.report["near_copies_apart"], told.report["near_copies_apart"]) == (0, apart)
    assert any(f"{apart} pairs of near-copies stand on two sides" in line for line in told.lines)


@pytest.mark.parametrize(("torn", "said"), [(False, "; 80 groups, 0 leaks"), (True, "; 80 groups, 1 leak")])
def test_the_line_on_the_split_counts_leaks_and_a_leak_is_a_warning_beside_it(torn: bool, said: str) -> None:
    decided, groups = images([(label, f"{label}{n}") for label in "ab" for n in range(40)])
    decided = decided.assign(sha256=decided["image_id"], pixel_sha=decided["image_id"])
    rows = [("d1", name, name, "phash", 0.1, False) for name in decided["image_id"] if torn]
    found = pd.DataFrame(rows, columns=list(DUPLICATES.columns))
    audited = audited_of(decided, groups, duplicates=found)
    divided = divide(audited, read_ledger(Path("absent")), lambda rows: np.zeros((len(rows), 2)), SplitParams())
    assert any(line.endswith(said) for line in divided.lines)
    assert any(line.startswith("The split leaks") for line in divided.lines) == torn
    assert divided.report["warnings"] == [line for line in divided.lines if line.startswith("The split leaks")]
