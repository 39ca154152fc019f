"""Images that share anything the analyst named stand in one group, and the group says why."""

from __future__ import annotations

import pandas as pd
import pytest

from automl_cnn.artifacts import DUPLICATES
from automl_cnn.errors import DataError
from automl_cnn.split.groups import build_groups


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
