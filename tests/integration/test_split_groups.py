"""Images that share anything the analyst named stand in one group, and the group says why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.artifacts import DUPLICATES
from automl_cnn.config import GroupSource
from automl_cnn.errors import DataError
from automl_cnn.split.groups import build_groups, group_images
from automl_cnn.split.union import read_links


def manifest(paths: list[str], **columns: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame({
        "image_id": [f"i{row}" for row in range(len(paths))], "path": paths,
        "label": [path.split("/")[0] for path in paths], "status": "ok",
        "sha256": [f"b{row}" for row in range(len(paths))], "pixel_sha": [f"p{row}" for row in range(len(paths))],
        **columns,
    })  # fmt: skip


def clusters(*parts: list[str]) -> pd.DataFrame:
    rows = [(f"d{number}", name, name, "phash", 0.1, False) for number, part in enumerate(parts) for name in part]
    return pd.DataFrame(rows, columns=list(DUPLICATES.columns))


def test_joins_carry_over_from_one_source_to_the_next_and_the_reason_names_both() -> None:
    frame = manifest(["a/0.png", "a/1.png", "b/2.png", "b/3.png"], sender=["x", "x", "y", "z"])
    groups = build_groups(frame, clusters(["i1", "i2"]), ["column", "duplicates"], "sender").table
    assert groups["group"].tolist() == ["i0", "i0", "i0", "i3"]
    assert groups["reason"].tolist()[:2] == ["sender x; duplicates d0"] * 2
    assert groups["reason"][3] == ""


def test_images_without_a_value_stand_alone_and_are_counted() -> None:
    frame = manifest(["a/0.png", "a/1.png", "a/2.png", "a/3.png"], sender=["", "", None, "x"])
    groups = build_groups(frame, clusters(), ["column"], "sender")
    assert groups.table["group"].nunique() == 4
    assert groups.unnamed == {"sender": 3}


def test_a_folder_below_the_class_is_a_group_and_the_class_folder_is_not() -> None:
    frame = manifest(["a/p1/0.png", "a/p1/1.png", "a/p2/2.png", "a/3.png", "a/4.png"])
    assert build_groups(frame, clusters(), ["folder"]).table["group"].tolist() == ["i0", "i0", "i2", "i3", "i4"]


def test_images_relabelled_out_of_a_class_are_not_joined_by_its_folder() -> None:
    frame = manifest(["a/0.png", "a/1.png", "a/2.png", "b/p/3.png", "b/p/4.png"])
    frame = frame.assign(given_label=frame["label"], label=["a", "b", "b", "b", "a"])
    assert build_groups(frame, clusters(), ["folder"]).table["group"].tolist() == ["i0", "i1", "i2", "i3", "i3"]


def test_in_a_csv_set_the_parent_folder_is_a_group() -> None:
    frame = manifest(["p1/0.png", "p1/1.png", "p2/2.png", "3.png"]).assign(label=["cat", "dog", "cat", "dog"])
    assert build_groups(frame, clusters(), ["folder"]).table["group"].tolist() == ["i0", "i0", "i2", "i3"]


def test_a_pattern_names_the_group_by_its_first_bracket() -> None:
    frame = manifest(["a/cam1_001.png", "b/cam1_002.png", "a/cam2_001.png", "a/other.png"])
    groups = build_groups(frame, clusters(), ["pattern"], pattern=r"(cam\d)_")
    assert groups.table["group"].tolist() == ["i0", "i0", "i2", "i3"]
    assert groups.unnamed == {"pattern": 1}


@pytest.mark.parametrize(
    ("pattern", "says"), [("(", "regular expression"), (r"cam\d", "with a group"), ("(dog)", "matches none")]
)
def test_a_pattern_that_cannot_group_is_an_error(pattern: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        build_groups(manifest(["a/cam1.png"]), clusters(), ["pattern"], pattern=pattern)


def test_a_missing_group_column_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(DataError, match="sender"):
        build_groups(manifest(["a/0.png"], sender=["x"]), clusters(), ["column"], "patient")


def test_without_a_group_column_the_column_source_is_passed_over() -> None:
    assert build_groups(manifest(["a/0.png", "a/1.png"]), clusters(), ["column"]).table["group"].nunique() == 2


def test_a_group_keeps_its_name_when_the_order_of_rows_changes() -> None:
    frame = manifest(["a/0.png", "a/1.png", "a/2.png"], sender=["x", "y", "x"])
    first = build_groups(frame, clusters(), ["column"], "sender").table.set_index("image_id")["group"]
    second = build_groups(frame[::-1], clusters(), ["column"], "sender").table.set_index("image_id")["group"]
    assert first.to_dict() == second.to_dict()


def photographs(*taken: tuple[str | None, str | None]) -> pd.DataFrame:
    frame = manifest([f"a/{number}.png" for number in range(len(taken))])
    return frame.assign(camera=[camera for camera, _ in taken], capture_time=[time for _, time in taken])


def test_a_session_ends_where_the_pause_is_longer_than_the_gap_and_needs_one_camera() -> None:
    frame = photographs(
        ("A", "2024-05-01T10:00:00"), ("A", "2024-05-01T10:10:00"), ("A", "2024-05-01T10:20:01"),
        ("B", "2024-05-01T10:01:00"), ("A", "2024-05-01T09:55:00.5"),
    )  # fmt: skip
    groups = build_groups(frame, clusters(), ["session"], session_gap_minutes=10)
    assert groups.table["group"].tolist() == ["i0", "i0", "i2", "i3", "i0"]
    assert groups.table["reason"][0] == "session A 2024-05-01 09:55:00"


def test_photographs_without_camera_or_time_are_in_no_session_and_are_counted() -> None:
    frame = photographs(
        ("A", "2024-05-01T10:00:00"), (None, "2024-05-01T10:00:00"), ("", "2024-05-01T10:00:00"), ("A", None),
        ("A", "yesterday"),
    )  # fmt: skip
    groups = build_groups(frame, clusters(), ["session"])
    assert groups.table["group"].nunique() == 5
    assert groups.unnamed == {"session": 4}


def test_a_set_without_any_capture_time_has_no_sessions() -> None:
    groups = build_groups(photographs((None, None), (None, None)), clusters(), ["session"])
    assert groups.table["group"].nunique() == 2


def test_copies_are_joined_whatever_the_sources_and_broken_files_are_not() -> None:
    frame = manifest([f"a/{number}.png" for number in range(6)])
    frame["sha256"] = ["b0", "b0", "b2", "b3", "b0", "b5"]
    frame["pixel_sha"] = ["p0", "p0", "p2", "p2", "", ""]
    frame["status"] = ["ok", "ok", "ok", "ok", "truncated", "ok"]
    groups = build_groups(frame, clusters(), [])
    assert groups.table["group"].tolist() == ["i0", "i0", "i2", "i2", "i4", "i5"]
    assert groups.table["reason"].tolist() == ["copies bytes b0"] * 2 + ["copies pixels p2"] * 2 + [""] * 2


def test_a_reviewer_joins_pairs_and_the_reason_is_kept() -> None:
    frame = manifest([f"a/{number}.png" for number in range(5)])
    joins = [("i3", "i1", "same shoe"), ("i4", "i2", "same shoe"), ("i0", "gone", "same shoe"), ("i0", "i0", "itself")]
    groups = build_groups(frame, clusters(), [], joins=joins)
    assert groups.table["group"].tolist() == ["i0", "i1", "i2", "i1", "i2"]
    assert groups.table["reason"][1] == "reviewer same shoe"
    assert groups.joins.to_dict("list") == {
        "image_id": ["i3", "i4"], "other_image_id": ["i1", "i2"],
        "source": ["reviewer"] * 2, "value": ["same shoe"] * 2,
    }  # fmt: skip


def test_every_source_that_joined_an_image_is_kept_with_its_value() -> None:
    frame = manifest(["a/0.png", "a/1.png", "a/2.png"], sender=["x", "x", None])
    joins = build_groups(frame, clusters(["i0", "i1"], ["i1", "i2"]), ["column", "duplicates"], "sender").joins
    told = sorted(zip(joins["image_id"], joins["other_image_id"], joins["source"], joins["value"], strict=True))
    assert told == [
        ("i1", "i0", "duplicates", "d0"), ("i1", "i0", "sender", "x"), ("i2", "i1", "duplicates", "d1"),
    ]  # fmt: skip


def test_of_many_values_a_reason_names_three() -> None:
    frame = manifest([f"a/{number}.png" for number in range(6)], place=["x"] * 6)
    parts = [[f"i{number}", f"i{number + 1}"] for number in range(5)]
    reason = build_groups(frame, clusters(*parts), ["duplicates"]).table["reason"][0]
    assert reason == "duplicates d0, d1, d2 and 2 more"


def test_a_column_may_be_called_like_a_source() -> None:
    frame = manifest(["p/0.png", "p/1.png", "q/2.png"], folder=["x", None, "x"]).assign(label="cat")
    groups = build_groups(frame, clusters(), ["column", "folder"], "folder")
    assert groups.table["reason"][0] == "column folder x; folder p"
    assert groups.unnamed == {"column folder": 1, "folder": 0}


def test_an_image_that_is_out_of_use_hangs_on_a_group_and_joins_no_two() -> None:
    frame = manifest(
        [f"a/{number}.png" for number in range(8)], sender=["r1", "r1", "r2", "r2", "r1", "r4", "r5", "r6"]
    )
    frame["excluded"] = [False, True, False, False, False, False, True, True]
    frame.loc[5, "status"] = "truncated"
    groups = build_groups(frame, clusters(["i1", "i2"], ["i5", "i3"], ["i6", "i7"]), ["column", "duplicates"], "sender")
    assert groups.table["group"].tolist() == ["i0", "i1", "i2", "i2", "i0", "i2", "i6", "i7"]
    assert groups.table["reason"].tolist() == ["sender r1", "", *["sender r2"] * 2, "sender r1", "sender r2", "", ""]


def test_the_name_and_reason_of_a_group_do_not_tell_whether_an_image_out_of_use_hangs_on_it() -> None:
    frame = manifest([f"a/{number}.png" for number in range(3)], sender=["x"] * 3)
    groups = build_groups(frame.assign(excluded=[True, False, False]), clusters(), ["column"], "sender").table
    assert groups["group"].tolist() == ["i1"] * 3


@st.composite
def anything_shared(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images whose senders, folders, copies and clusters overlap in any way."""
    count = draw(st.integers(1, 12))
    few = st.lists(st.integers(0, 5), min_size=count, max_size=count)
    frame = manifest([f"f{folder}/{row}.png" for row, folder in enumerate(draw(few))]).assign(label="cat")
    frame["sender"] = [f"s{value}" if value else None for value in draw(few)]
    frame["sha256"] = [f"b{row if value else 0}" for row, value in enumerate(draw(few))]
    frame["pixel_sha"] = frame["sha256"]
    ids = st.sampled_from(frame["image_id"].tolist())
    return frame, clusters(*draw(st.lists(st.lists(ids, max_size=3, unique=True), max_size=4)))


@settings(max_examples=30, deadline=None)
@given(anything_shared(), st.permutations(["column", "folder", "duplicates"]), st.integers(0, 9))
def test_neither_the_order_of_images_nor_of_sources_changes_a_group(
    shared: tuple[pd.DataFrame, pd.DataFrame], sources: list[GroupSource], seed: int
) -> None:
    frame, found = shared
    first = build_groups(frame, found, ["column", "folder", "duplicates"], "sender")
    shuffled = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
    second = build_groups(shuffled, found.sample(frac=1, random_state=seed), sources, "sender")
    assert first.table.set_index("image_id")["group"].to_dict() == second.table.set_index("image_id")["group"].to_dict()
    order = ["source", "value", "image_id"]
    assert first.joins.sort_values(order, ignore_index=True).equals(second.joins.sort_values(order, ignore_index=True))


@settings(max_examples=30, deadline=None)
@given(anything_shared())
def test_images_stand_in_one_group_exactly_when_a_chain_of_joins_connects_them(
    shared: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    frame, found = shared
    groups = build_groups(frame, found, ["column", "folder", "duplicates"], "sender")
    ids = frame["image_id"].tolist()
    near = np.eye(len(ids), dtype=bool)
    for one, other in zip(groups.joins["image_id"], groups.joins["other_image_id"], strict=True):
        near[ids.index(one), ids.index(other)] = near[ids.index(other), ids.index(one)] = True
    reach = np.linalg.matrix_power(near.astype(float), len(ids)) > 0
    group = groups.table["group"].to_numpy()
    assert ((group[:, None] == group[None, :]) == reach).all()
    for column in ("sender", "sha256"):
        assert (groups.table["group"].groupby(frame[column]).nunique() == 1).all()


@settings(max_examples=20, deadline=None)
@given(anything_shared())
def test_the_table_of_joins_alone_gives_the_groups_and_their_reasons_again(
    shared: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    frame, found = shared
    groups = build_groups(frame, found, ["column", "folder", "duplicates"], "sender")
    ids = frame["image_id"].to_numpy(dtype=object)
    assert group_images(ids, read_links(groups.joins, ids)).equals(groups.table)
