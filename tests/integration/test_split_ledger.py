"""When data grows, no image that was placed changes sides, and nothing leaks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from automl_cnn.artifacts import DUPLICATES, LEDGER, Table, write_table
from automl_cnn.config import SplitParams
from automl_cnn.errors import ArtifactError
from automl_cnn.split.assign import Split, split_images
from automl_cnn.split.groups import build_groups
from automl_cnn.split.ledger import Stand, extend_ledger, find_stand, read_ledger, retire_ledger, write_ledger

Row = tuple[str, str, str]  # name, class, sender
BASE: list[Row] = [(f"{label}{number}", label, f"s-{label}{number}") for label in "ab" for number in range(8)]


def manifest(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame({
        "image_id": [name for name, _, _ in rows], "path": [f"{name}.png" for name, _, _ in rows],
        "label": [label for _, label, _ in rows], "sender": [sender for _, _, sender in rows], "status": "ok",
        "sha256": [f"b-{name}" for name, _, _ in rows], "pixel_sha": [f"p-{name}" for name, _, _ in rows],
        "excluded": False,
    })  # fmt: skip


def clusters(*parts: list[str]) -> pd.DataFrame:
    rows = [(f"d{number}", name, name, "phash", 0.1, False) for number, part in enumerate(parts) for name in part]
    return pd.DataFrame(rows, columns=list(DUPLICATES.columns))


def step(frame: pd.DataFrame, duplicates: pd.DataFrame, ledger: pd.DataFrame) -> tuple[Split, pd.DataFrame]:
    """One run of audit's groups and of the split stage."""
    groups = build_groups(frame, duplicates, ["column", "duplicates"], "sender")
    stand = find_stand(frame, groups.table, groups.joins, ledger)
    split = split_images(frame, stand.groups, duplicates, SplitParams(), stand.earlier, stand.left_out)
    split.report["ledger"] = stand.report(split.table)
    return split, extend_ledger(ledger, frame, split.table["split"].tolist())


def first(rows: list[Row] = BASE) -> tuple[dict[str, str], pd.DataFrame]:
    """Where the first split put everything, and the ledger after it."""
    split, ledger = step(manifest(rows), clusters(), read_ledger(Path("absent")))
    return sides(split), ledger


def sides(split: Split) -> dict[str, str]:
    return dict(zip(split.table["image_id"], split.table["split"], strict=True))


def one_of(placed: dict[str, str], side: str) -> str:
    return min(name for name, split in placed.items() if split == side)


@dataclass(frozen=True)
class Step:
    """What happens to a set between two splits.

    Attributes:
        new: images that come.
        clusters: near-duplicates, by name.
        excluded: names of the images that a reviewer leaves out this time.
        renamed: image → number in its new path; one number may pass from image to image.
        overwritten: image → where its bytes come from: another image, or a name that none has for new bytes.
    """

    new: list[Row]
    clusters: list[list[str]]
    excluded: list[str] = field(default_factory=list)
    renamed: dict[str, int] = field(default_factory=dict)
    overwritten: dict[str, str] = field(default_factory=dict)


@st.composite
def growth(draw: st.DrawFn, joining: bool = True) -> list[Step]:
    """Steps of new images and of clusters; senders and, where `joining`, clusters may connect anything to anything.

    Where `joining`, images are also excluded for a while, renamed and overwritten.
    """
    steps = []
    names = [name for name, _, _ in BASE]
    for number in range(draw(st.integers(1, 3))):
        senders = st.sampled_from([*names, f"n{number}"])
        labels = draw(st.lists(st.sampled_from("ab"), max_size=6))
        new = [(f"n{number}-{k}", label, f"s-{draw(senders)}") for k, label in enumerate(labels)]
        names += [name for name, _, _ in new]
        members = st.sampled_from(names if joining else [name for name, _, _ in new] or names[:1])
        found = draw(st.lists(st.lists(members, max_size=4, unique=True), max_size=4))
        if not joining:
            steps.append(Step(new, found))
            continue
        few = st.lists(members, max_size=3, unique=True)
        places = draw(st.permutations(range(3)))
        sources = st.sampled_from([*names, f"e{number}"])
        renamed = dict(zip(draw(few), places, strict=False))
        steps.append(Step(new, found, draw(few), renamed, {name: draw(sources) for name in draw(few)}))
    return steps


def apply(step: Step, frame: pd.DataFrame, paths: dict[str, str], contents: dict[str, str]) -> pd.DataFrame:
    """The manifest after a step; `paths` and `contents` carry names and bytes from step to step."""
    contents |= {name: contents.get(by, by) for name, by in step.overwritten.items()}
    for name, number in step.renamed.items():
        for other in [other for other, path in paths.items() if path == f"r{number}"]:
            del paths[other]
        paths[name] = f"r{number}"
    bytes_of = frame["image_id"].map(lambda name: contents.get(name, name))
    return rename(frame, **paths).assign(
        sha256="b-" + bytes_of, pixel_sha="p-" + bytes_of, excluded=frame["image_id"].isin(step.excluded)
    )


@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(growth(), st.integers(0, 99))
def test_no_image_ever_moves_and_nothing_leaks_whatever_joins_and_however_free_groups_are_dealt(
    steps: list[Step], seed: int
) -> None:
    rng = random.Random(seed)
    rows, ledger = [], read_ledger(Path("absent"))
    paths: dict[str, str] = {}
    contents: dict[str, str] = {}
    stood: dict[str, str] = {}  # by bytes
    for grown in [Step(BASE, []), *steps]:
        rows = rng.sample([*rows, *grown.new], len(rows) + len(grown.new))
        frame, found = apply(grown, manifest(rows), paths, contents), clusters(*grown.clusters)
        groups = build_groups(frame, found, ["column", "duplicates"], "sender")
        stand = find_stand(frame, groups.table, groups.joins, ledger)
        split = deal_freely(frame, stand, rng)
        placed = split[split != "quarantine"]
        bytes_of = dict(zip(frame["image_id"], frame["sha256"], strict=True))
        assert all(stood.get(bytes_of[name], side) == side for name, side in placed.items())
        for key in ("sender", "sha256"):
            for _, members in frame.groupby(key)["image_id"]:
                assert placed[placed.index.isin(members)].nunique() <= 1
        for _, members in found.groupby("cluster")["image_id"]:
            assert placed[placed.index.isin(members)].nunique() <= 1
        table = split.rename("split").rename_axis("image_id").reset_index()
        assert stand.report(table)["moved"] == 0
        stood.update({bytes_of[name]: side for name, side in placed.items()})
        ledger = extend_ledger(ledger, frame, split.tolist())


def deal_freely(frame: pd.DataFrame, stand: Stand, rng: random.Random) -> pd.Series:
    """A split that keeps to what find_stand says and is arbitrary beyond it: side by image_id."""
    group = stand.groups["group"].tolist()
    held = {name: stand.earlier[i] for name, i in zip(group, frame["image_id"], strict=True) if i in stand.earlier}
    dealt = {name: held.get(name) or rng.choice(["train", "validation", "test"]) for name in group}
    barred = frame["excluded"] | frame["image_id"].isin(list(stand.left_out))
    sides = ["quarantine" if out else dealt[name] for name, out in zip(group, barred, strict=True)]
    return pd.Series(sides, index=frame["image_id"])


@settings(max_examples=3, deadline=None)
@given(growth(joining=False))
def test_where_old_groups_stay_apart_only_what_bridges_them_is_left_out(steps: list[Step]) -> None:
    placed, ledger = first()
    rows = list(BASE)
    for grown in steps:
        rows = [*rows, *grown.new]
        split, ledger = step(manifest(rows), clusters(*grown.clusters), ledger)
        assert {name: sides(split)[name] for name in placed} == placed
        assert split.report["leaks"] == 0
        assert split.report["ledger"]["moved"] == split.report["ledger"]["conflicts"] == 0
        placed |= {name: side for name, side in sides(split).items() if side != "quarantine"}


def test_the_same_images_again_stand_where_they_stood_and_the_ledger_does_not_change() -> None:
    placed, ledger = first()
    split, again = step(manifest(BASE[::-1]), clusters(), ledger)
    assert sides(split) == placed
    assert again is ledger
    assert split.report["ledger"] == {"known": 16, "new": 0, "bridging": 0, "conflicts": 0, "moved": 0}


def test_a_new_image_joins_the_side_of_its_group() -> None:
    placed, ledger = first()
    old = one_of(placed, "test")
    split, _ = step(manifest([*BASE, ("new", "a", f"s-{old}")]), clusters(), ledger)
    assert sides(split)["new"] == "test"


def test_a_new_image_that_bridges_two_sides_is_quarantined_and_both_are_named() -> None:
    placed, ledger = first()
    train, test = one_of(placed, "train"), one_of(placed, "test")
    rows = [*BASE, ("new", "a", f"s-{train}"), ("hanging", "a", f"s-{train}")]
    split, grown = step(manifest(rows), clusters(["new", test]), ledger)
    table = split.table.set_index("image_id")
    assert table.loc["new", "split"] == "quarantine"
    assert table.loc["new", "reason"] == f"would join train (sender s-{train}) to test (duplicates d0)"
    assert table.loc["hanging", "split"] == "train"
    assert {name: sides(split)[name] for name in placed} == placed
    assert split.report["ledger"]["bridging"] == 1
    assert "b-new" not in set(grown["sha256"])


def test_a_further_copy_of_an_old_image_in_another_name_is_left_out_and_no_old_image_is() -> None:
    placed, ledger = first()
    train, test = one_of(placed, "train"), one_of(placed, "test")
    frame = manifest([*BASE, ("copy", "a", f"s-{train}")])
    for key in ("sha256", "pixel_sha"):
        frame.loc[frame["image_id"] == "copy", key] = frame.loc[frame["image_id"] == test, key].item()
    split, _ = step(frame, clusters(), ledger)
    assert sides(split) == {**placed, "copy": "quarantine"}
    assert split.report["ledger"] == {"known": 16, "new": 1, "bridging": 1, "conflicts": 0, "moved": 0}


def test_old_images_that_a_new_rule_joins_do_not_move_and_the_test_split_keeps_its_own() -> None:
    placed, ledger = first()
    train, test = one_of(placed, "train"), one_of(placed, "test")
    split, again = step(manifest(BASE), clusters([train, test]), ledger)
    table = split.table.set_index("image_id")
    assert (table.loc[train, "split"], table.loc[test, "split"]) == ("quarantine", "test")
    assert table.loc[train, "reason"] == "stands in train, now also joined to test (duplicates d0)"
    assert split.report["ledger"] == {"known": 16, "new": 0, "bridging": 0, "conflicts": 1, "moved": 0}
    back, _ = step(manifest(BASE), clusters(), again)
    assert sides(back) == placed


@pytest.mark.parametrize("kept", ["sha256", "pixel_sha", "path"])
def test_an_image_is_known_by_its_bytes_or_its_pixels_or_its_path(kept: str) -> None:
    placed, ledger = first()
    frame = manifest(BASE)
    changed = frame.assign(**{key: "x-" + frame[key] for key in ("sha256", "pixel_sha", "path") if key != kept})
    split, grown = step(changed, clusters(), ledger)
    assert sides(split) == placed
    assert len(grown) == 2 * len(ledger)
    assert grown["generation"].tolist() == [1] * len(ledger) + [2] * len(ledger)


def test_another_image_at_the_path_of_one_that_was_renamed_is_new() -> None:
    _, ledger = first()
    frame = manifest([*BASE, ("new", "a", "s-new")])
    frame["path"] = frame["path"].replace({"a0.png": "renamed.png", "new.png": "a0.png"})
    assert step(frame, clusters(), ledger)[0].report["ledger"]["new"] == 1


def test_an_image_that_is_excluded_or_absent_for_a_while_comes_back_to_its_side() -> None:
    placed, ledger = first()
    name = one_of(placed, "train")
    frame = manifest(BASE)
    without, after = step(frame[frame["image_id"] != name].reset_index(drop=True), clusters(), ledger)
    excluded, after = step(frame.assign(excluded=frame["image_id"] == name), clusters(), after)
    assert name not in sides(without)
    assert sides(excluded)[name] == "quarantine"
    assert after.equals(ledger)
    assert sides(step(frame, clusters(), after)[0]) == placed


def rename(frame: pd.DataFrame, **paths: str) -> pd.DataFrame:
    """The same images, some at another path."""
    known = {name: f"{path}.png" for name, path in paths.items()}
    return frame.assign(path=[known.get(*pair) for pair in zip(frame["image_id"], frame["path"], strict=True)])


def overwrite(frame: pd.DataFrame, name: str, by: str) -> pd.DataFrame:
    """The bytes of one image at the path of another."""
    taken = frame["image_id"].where(frame["image_id"] != name, by)
    return frame.assign(sha256="b-" + taken, pixel_sha="p-" + taken)


def test_bytes_that_stood_in_train_do_not_get_into_test_at_the_path_of_a_test_image() -> None:
    placed, ledger = first()
    train, test = one_of(placed, "train"), one_of(placed, "test")
    frame = overwrite(manifest(BASE), test, by=train)
    once, ledger = step(frame, clusters(), ledger)
    assert (sides(once)[train], sides(once)[test]) == ("train", "train")
    alone = rename(frame[frame["image_id"] != train].reset_index(drop=True), **{test: "renamed"})
    assert sides(step(alone, clusters(), ledger)[0])[test] == "train"


def test_what_a_renamed_image_has_left_behind_is_nobodys_when_others_come_later() -> None:
    _, ledger = first()
    _, ledger = step(rename(manifest(BASE), a0="renamed"), clusters(), ledger)
    at_its_path = rename(manifest([*BASE, ("new", "a", "s-new")]), a0="renamed", new="a0")
    split, _ = step(at_its_path, clusters(), ledger)
    assert (split.report["ledger"]["known"], split.report["ledger"]["new"]) == (16, 1)
    copy = overwrite(rename(manifest([*BASE, ("copy", "a", "s-a0")]), a0="renamed"), "copy", by="a0")
    split, _ = step(copy, clusters(), ledger)
    assert (split.report["ledger"]["known"], split.report["ledger"]["new"]) == (16, 1)


def test_what_stood_at_a_path_before_it_was_edited_is_not_the_next_image_there() -> None:
    _, ledger = first()
    edited = manifest(BASE).replace({"b-a0": "b-edited", "p-a0": "p-edited"})
    _, ledger = step(edited, clusters(), ledger)
    rows = [*BASE, ("new", "a", "s-new")]
    moved = rename(manifest(rows).replace({"b-a0": "b-edited", "p-a0": "p-edited"}), a0="renamed", new="a0")
    assert step(moved, clusters(), ledger)[0].report["ledger"]["new"] == 1


def test_of_two_copies_that_stood_together_one_that_is_edited_is_known_by_its_path() -> None:
    rows = [*BASE, ("copy", "a", "s-a0")]
    placed = step(overwrite(manifest(rows), "copy", by="a0"), clusters(), read_ledger(Path("absent")))
    split, _ = step(manifest(rows), clusters(), placed[1])
    assert split.report["ledger"]["known"] == 17


def test_a_new_image_does_not_take_the_place_of_an_old_one_that_is_excluded_for_a_while() -> None:
    placed, ledger = first()
    train, test = one_of(placed, "train"), one_of(placed, "test")
    rows = [*BASE, ("new", "a", f"s-{train}")]
    frame, found = manifest(rows), clusters(["new", test])
    without, ledger = step(frame.assign(excluded=frame["image_id"] == train), found, ledger)
    assert sides(without) == {**placed, train: "quarantine", "new": "quarantine"}
    assert sides(step(frame, found, ledger)[0]) == {**placed, "new": "quarantine"}


def test_an_old_image_that_is_excluded_keeps_its_place_for_all_it_is_joined_to_and_joins_no_two() -> None:
    """The old image shares its sender with one new image and a cluster with another, who share nothing themselves."""
    placed, ledger = first()
    for side in ("train", "validation", "test"):
        old = one_of(placed, side)
        rows = [*BASE, ("n1", "a", f"s-{old}"), ("n2", "a", "s-n2"), ("n3", "a", "s-n2")]
        frame, found = manifest(rows), clusters([old, "n2"])
        without, after = step(frame.assign(excluded=frame["image_id"] == old), found, ledger)
        assert [sides(without)[name] for name in (old, "n1", "n2", "n3")] == ["quarantine", side, side, side]
        group = without.table.set_index("image_id")["group"]
        assert group["n1"] != group["n2"] == group["n3"]
        assert sides(step(frame, found, after)[0]) == {**placed, "n1": side, "n2": side, "n3": side}


def test_an_image_excluded_from_the_start_joins_no_old_images() -> None:
    placed, ledger = first()
    train, test = one_of(placed, "train"), one_of(placed, "test")
    frame = manifest([*BASE, ("x", "a", f"s-{train}")])
    split, _ = step(frame.assign(excluded=frame["image_id"] == "x"), clusters(["x", test]), ledger)
    assert sides(split) == {**placed, "x": "quarantine"}
    assert split.report["ledger"] == {"known": 16, "new": 0, "bridging": 0, "conflicts": 0, "moved": 0}


def test_a_copy_of_an_image_that_is_left_out_goes_to_its_side_or_nowhere() -> None:
    placed, ledger = first()
    train, test = one_of(placed, "train"), one_of(placed, "test")
    frame = overwrite(manifest([*BASE, ("copy", "a", "s-copy")]), "copy", by=train)
    split, _ = step(frame, clusters([train, test]), ledger)
    assert (sides(split)[train], sides(split)["copy"]) == ("quarantine", "train")
    split, _ = step(frame, clusters([train, "copy", test]), ledger)
    assert sides(split)["copy"] == "quarantine"
    reason = split.table.set_index("image_id").loc["copy", "reason"]
    assert reason == "would join train (a copy stood there) to test (duplicates d0)"


def test_moved_is_counted_on_the_finished_table_by_bytes_whatever_the_split_was_told() -> None:
    _, ledger = first()
    groups = build_groups(manifest(BASE), clusters(), ["column"], "sender")
    stand = find_stand(manifest(BASE), groups.table, groups.joins, ledger)
    forgetful = split_images(manifest(BASE), stand.groups, clusters(), SplitParams(seed=5)).table
    old = dict(zip(ledger["sha256"], ledger["split"], strict=True))
    moved = sum(side != old[f"b-{name}"] for name, side in zip(forgetful["image_id"], forgetful["split"], strict=True))
    assert stand.report(forgetful)["moved"] == moved > 0
    unknowing = replace(stand, earlier={})
    assert unknowing.report(forgetful)["moved"] == moved


def test_the_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    _, ledger = first()
    for name in ("one.parquet", "two.parquet"):
        write_ledger(tmp_path / name, ledger)
    pd.testing.assert_frame_equal(read_ledger(tmp_path / "one.parquet"), ledger)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_damaged_or_foreign_ledger_is_an_error_that_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    path.write_bytes(b"not a table")
    with pytest.raises(ArtifactError, match="automl-cnn resplit"):
        read_ledger(path)
    write_table(path, first()[1], Table("ledger", 2, LEDGER.columns))
    with pytest.raises(ArtifactError, match="expected version 1 of ledger; received version 2"):
        read_ledger(path)
    write_ledger(path, first()[1].assign(split="holdout"))
    with pytest.raises(ArtifactError, match="holdout"):
        read_ledger(path)
    write_ledger(path, first()[1].assign(split=None))
    with pytest.raises(ArtifactError, match="a row without a side"):
        read_ledger(path)


def test_retiring_puts_the_ledger_aside_and_deletes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    assert retire_ledger(path) is None
    for content in (b"1", b"2"):
        path.write_bytes(content)
        retire_ledger(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ledger.retired-1.parquet", "ledger.retired-2.parquet"]
    assert read_ledger(path).empty
