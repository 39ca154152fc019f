"""Files between stages: written whole or not at all, read with a clear error."""

import os
import time
from pathlib import Path

import pandas as pd
import pytest

from automl_cnn.artifacts import (
    GROUPS,
    LABELS,
    Table,
    read_json,
    read_table,
    replacing,
    replacing_folder,
    write_json,
    write_table,
)
from automl_cnn.errors import ArtifactError

ROWS = pd.DataFrame({"image_id": ["a", "b"], "group": ["g", "g"], "reason": ["", "column"]})


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", ROWS, GROUPS)
    write_table(tmp_path / "b.parquet", ROWS.copy(), GROUPS)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", ROWS, GROUPS)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet", GROUPS), ROWS)


def test_a_missing_column_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no path, label"):
        write_table(tmp_path / "t.parquet", ROWS, LABELS)
    assert list(tmp_path.iterdir()) == []


def test_another_version_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", ROWS, GROUPS)
    with pytest.raises(ArtifactError, match="expected version 2 of groups; received version 1"):
        read_table(tmp_path / "t.parquet", Table("groups", 2, GROUPS.columns))


@pytest.mark.parametrize("content", [b"", b"not a table", b"PAR1 cut off"])
def test_a_damaged_table_is_an_artifact_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(ArtifactError):
        read_table(tmp_path / "t.parquet", GROUPS)


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "m.json", {"ok": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "m.json", {"bad": float("nan")})
    assert read_json(tmp_path / "m.json") == {"ok": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_a_folder_is_swapped_only_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with replacing_folder(folder) as temporary:
        (temporary / "a").write_text("1")
    with pytest.raises(RuntimeError), replacing_folder(folder) as temporary:
        (temporary / "b").write_text("2")
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_process_left_half_written_is_removed_a_day_later(tmp_path: Path) -> None:
    old, young = tmp_path / ".images.x1.tmp", tmp_path / ".images.x2.tmp"
    for folder in (old, young):
        folder.mkdir()
        (folder / "half").write_text("a store")
    os.utime(old, (time.time() - 2 * 86_400,) * 2)
    with replacing_folder(tmp_path / "images") as temporary:
        (temporary / "whole").write_text("a store")
    assert not old.exists()
    assert young.exists()
    assert (tmp_path / "images" / "whole").exists()
