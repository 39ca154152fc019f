"""What counts as an image, what its label is, and which mistakes of an analyst are named."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_cnn.data.manifest import image_id, image_ids
from automl_cnn.data.scan import Scan, scan
from automl_cnn.errors import DataError


def put(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def labelled(found: Scan) -> dict[str, str]:
    return {entry.path: entry.label for entry in found.entries}


def found_issues(found: Scan) -> set[tuple[str, str, str]]:
    return {(one.path, one.issue, one.severity) for one in found.findings}


def with_csv(tmp_path: Path, text: str | bytes, *paths: str) -> tuple[Path, Path]:
    labels = tmp_path / "labels.csv"
    labels.write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "images").mkdir(exist_ok=True)
    return put(tmp_path / "images", *(paths or ("a.jpg", "b.jpg"))), labels


def refused(root: Path, labels: Path | None = None, column: str = "label") -> str:
    with pytest.raises(DataError) as caught:
        scan(root, labels, column)
    return str(caught.value)


def test_the_first_subfolder_is_the_class_however_deep_the_file_lies(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.jpg", "cat/2019/may/2.jpg", "dog/3.jpg")
    assert labelled(scan(tmp_path, None, "label")) == {
        "cat/1.jpg": "cat", "cat/2019/may/2.jpg": "cat", "dog/3.jpg": "dog",
    }  # fmt: skip


def test_every_file_is_a_row_whatever_its_extension_unless_it_is_a_sidecar(tmp_path: Path) -> None:
    put(tmp_path, "a/1.JPG", "a/2.bmp", "a/3.heic", "a/4.docx", "a/5", "b/6.Png")
    put(tmp_path, "a/.DS_Store", "a/Thumbs.db", "a/1.txt", "b/6.xml", "b/.git/7.jpg", "__MACOSX/a/8.jpg", "notes.md")
    found = scan(tmp_path, None, "label")
    assert sorted(labelled(found)) == ["a/1.JPG", "a/2.bmp", "a/3.heic", "a/4.docx", "a/5", "b/6.Png"]
    assert found.ignored == {".db": 1, ".md": 1, ".txt": 1, ".xml": 1, "hidden file": 1, "hidden folder": 2}


def test_files_outside_any_class_and_empty_classes_are_said(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg", "b/2.jpg", "loose.jpg")
    (tmp_path / "c").mkdir()
    notes = scan(tmp_path, None, "label").notes
    assert any("1 files lie directly in data.root" in note for note in notes)
    assert any("without images: c" in note for note in notes)


def test_classes_that_differ_in_case_alone_are_said(tmp_path: Path) -> None:
    put(tmp_path, "Cat/1.jpg", "cat/2.jpg")
    assert "classes that may be one: Cat, cat" in scan(tmp_path, None, "label").notes


def test_links_to_folders_are_not_followed_so_a_loop_ends(tmp_path: Path) -> None:
    root = put(tmp_path / "photos", "a/1.jpg", "b/2.jpg")
    put(tmp_path / "elsewhere", "3.jpg")
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "out").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "beside").symlink_to(root / "b")
    found = scan(root, None, "label")
    assert len(found.entries) == 2
    assert found.ignored == {"link to a folder": 3}
    assert found_issues(found) == {
        ("a/loop", "symlink_loop", "warn"), ("a/out", "symlink_escape", "block"),
        ("a/beside", "symlink_folder", "info"),
    }  # fmt: skip


def test_links_to_files_that_loop_or_leave_the_folder_are_rows_and_are_not_read(tmp_path: Path) -> None:
    root = put(tmp_path / "photos", "a/1.jpg", "b/2.jpg")
    put(tmp_path, "secret.jpg")
    (root / "a" / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "a" / "round.jpg").symlink_to(root / "a" / "about.jpg")
    (root / "a" / "about.jpg").symlink_to(root / "a" / "round.jpg")
    (root / "a" / "same.jpg").symlink_to(root / "b" / "2.jpg")
    faults = {entry.path: entry.fault and entry.fault[0] for entry in scan(root, None, "label").entries}
    assert faults == {
        "a/1.jpg": None, "a/about.jpg": "symlink_loop", "a/out.jpg": "symlink_escape", "a/round.jpg": "symlink_loop",
        "a/same.jpg": None, "b/2.jpg": None,
    }  # fmt: skip


def test_a_broken_link_and_a_name_of_another_encoding_are_rows_with_a_fault(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/caf\xe9.jpg"))).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    faults = {entry.path: entry.fault[0] for entry in scan(tmp_path, None, "label").entries if entry.fault}
    assert faults == {"a/gone.jpg": "missing", "a/caf\\xe9.jpg": "unreadable"}


def test_names_that_differ_in_unicode_form_alone_are_two_images_of_one_class(tmp_path: Path) -> None:
    apart = [unicodedata.normalize(form, "café/1.jpg") for form in ("NFC", "NFD")]
    put(tmp_path, "b/1.jpg", *apart)
    if len(list(tmp_path.iterdir())) == 2:
        pytest.skip("this file system takes the two spellings for one")
    found = scan(tmp_path, None, "label")
    assert labelled(found) == {"b/1.jpg": "b", apart[0]: "café", apart[1]: "café"}
    assert found_issues(found) == {(path, "names_alike", "warn") for path in apart} | {
        (path.split("/")[0], "class_names_alike", "warn") for path in apart
    }
    paths = [entry.path for entry in found.entries]
    assert len(set(image_ids(paths))) == 3
    assert dict(zip(paths, image_ids(paths), strict=True))[apart[0]] == image_id(apart[1])


@given(st.sets(st.text(alphabet="aé\u0301e/K\u212a", min_size=1, max_size=6)))
def test_different_paths_have_different_ids_however_alike_they_are(paths: set[str]) -> None:
    assert len(set(image_ids(sorted(paths)))) == len(paths)


def test_files_that_become_no_image_are_named_one_by_one(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg", "a/1.JPG", "a/.2.jpg", "b/2.jpg", "T-shirt/1.jpg", "t_shirt/1.jpg", "loose.png", ".git/x")
    (tmp_path / "none").mkdir()
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    assert found_issues(scan(tmp_path, None, "label")) == {
        ("a/1.JPG", "names_alike", "info"), ("a/1.jpg", "names_alike", "info"), ("a/.2.jpg", "hidden_file", "info"),
        ("T-shirt", "class_names_alike", "warn"), ("t_shirt", "class_names_alike", "warn"),
        (".git", "hidden_folder", "info"),
        ("loose.png", "loose_file", "info"), ("none", "empty_class", "warn"), ("a/pipe.jpg", "not_a_file", "warn"),
    }  # fmt: skip


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    assert "which does not exist" in refused(tmp_path / "none")
    assert "which is a file" in refused(put(tmp_path, "file") / "file")
    (tmp_path / "empty").mkdir()
    assert "0 images" in refused(tmp_path / "empty")
    assert "2 files lie directly in it" in refused(put(tmp_path / "flat", "1.jpg", "2.jpg"))
    assert "one class only, 'cat'" in refused(put(tmp_path / "single", "cat/1.jpg", "cat/2.jpg"))


def test_an_unreadable_folder_is_named_not_skipped(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "b").chmod(0)
    try:
        if os.access(tmp_path / "b", os.R_OK):
            pytest.skip("the superuser reads everything")
        assert "Permission denied" in refused(tmp_path)
    finally:
        (tmp_path / "b").chmod(0o755)


def test_a_csv_gives_labels_and_keeps_further_columns_as_text(tmp_path: Path) -> None:
    root, labels = with_csv(
        tmp_path, "path,kind,patient\na.jpg,NA,007\nsub/b.jpg,1.0,\n", "a.jpg", "sub/b.jpg", "c.jpg"
    )
    found = scan(root, labels, "kind")
    assert labelled(found) == {"a.jpg": "NA", "sub/b.jpg": "1.0"}
    assert found.columns == ("patient",)
    assert [entry.metadata for entry in found.entries] == [{"patient": "007"}, {"patient": ""}]
    assert any("1 images under data.root are not listed" in note for note in found.notes)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_as_excel_or_windows_writes_it_is_read(tmp_path: Path, delimiter: str) -> None:
    text = "\ufeffpath,label\r\n.\\sub\\a.jpg,x\r\nb.jpg, y \r\n\r\n".replace(",", delimiter)
    root, labels = with_csv(tmp_path, text, "sub/a.jpg", "b.jpg")
    assert labelled(scan(root, labels, "label")) == {"sub/a.jpg": "x", "b.jpg": "y"}


def test_a_csv_finds_accented_files_however_they_are_spelled(tmp_path: Path) -> None:
    text = unicodedata.normalize("NFC", "path,label\ncafé.jpg,x\nb.jpg,y\n")
    root, labels = with_csv(tmp_path, text, unicodedata.normalize("NFD", "café.jpg"), "b.jpg")
    found = scan(root, labels, "label")
    assert [entry.fault for entry in found.entries] == [None, None]


def test_a_listed_file_that_is_missing_is_a_row(tmp_path: Path) -> None:
    root, labels = with_csv(tmp_path, "path,label\na.jpg,x\nb.jpg,y\nlost.jpg,y\n")
    faults = [entry.fault for entry in scan(root, labels, "label").entries]
    assert faults == [None, None, ("missing", "the file does not exist")]


def test_all_wrong_lines_are_named_at_once_with_their_numbers(tmp_path: Path) -> None:
    lines = (
        "path,label\na.jpg,x\n../b.jpg,y\n/etc/passwd,y\nC:\\c.jpg,y\na.jpg,z\nb.jpg,\n,y\nb.jpg,y,z\nsub/../../d,y\n"
    )
    root, labels = with_csv(tmp_path, lines)
    message = refused(root, labels)
    for part in (
        "line 3 ('../b.jpg' leaves",
        "line 4",
        "line 5",
        "line 6 ('a.jpg' again, after line 2)",
        "line 7",
        "3 more",
    ):
        assert part in message


def test_a_link_in_the_csv_that_leaves_the_folder_is_a_row_and_is_not_read(tmp_path: Path) -> None:
    root, labels = with_csv(
        tmp_path, "path,label\na.jpg,x\nout.jpg,y\nfar/b.jpg,y\nnear/a.jpg,y\nd,y\n", "a.jpg", "d/c.jpg"
    )
    put(tmp_path / "elsewhere", "b.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "elsewhere" / "b.jpg")
    (root / "far").symlink_to(tmp_path / "elsewhere")
    (root / "near").symlink_to(root)
    found = scan(root, labels, "label")
    assert {entry.path: entry.fault and entry.fault[0] for entry in found.entries} == {
        "a.jpg": None, "d": "missing", "far/b.jpg": "symlink_escape", "near/a.jpg": None, "out.jpg": "symlink_escape",
    }  # fmt: skip
    assert found_issues(found) == {
        ("d/c.jpg", "unlisted_file", "info"), ("far", "symlink_escape", "block"), ("near", "symlink_loop", "warn"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,class\na.jpg,x\n", "expected the columns path and label; received file, class"),
        ("path,class\na.jpg,x\n", "expected the column label; received path, class"),
        ("", "an empty file"),
        ("path,label\n", "0 images"),
        ("path,label,width\na.jpg,x,3\nb.jpg,y,3\n", "Rename them in the CSV"),
        ("path,label,who,who\na.jpg,x,1,2\n", "who twice"),
        ("path,label\na.jpg,x\nb.jpg,x\n", "one class only"),
        ('path,label\n"a.jpg,x\n', "Check the quotes"),
        ("path,label\na.jpg,caf\xe9\n".encode("latin-1"), "byte 0xe9"),
        ('path,label\na.jpg,"x\ny"\nb.jpg,z\n', "on one line"),
        ("path,label\na.jpg,x\u2028y\nb.jpg,z\n".encode(), "on one line"),
    ],
)
def test_a_wrong_csv_says_what_is_wrong(tmp_path: Path, text: str | bytes, says: str) -> None:
    root, labels = with_csv(tmp_path, text)
    assert says in refused(root, labels)


def test_a_missing_csv_is_named(tmp_path: Path) -> None:
    root, _ = with_csv(tmp_path, "path,label\n")
    assert "none there" in refused(root, tmp_path / "nothing.csv")


def test_a_second_label_column_must_be_renamed(tmp_path: Path) -> None:
    root, labels = with_csv(tmp_path, "path,label,kind\na.jpg,x,1\nb.jpg,y,2\n")
    assert "label. Rename them" in refused(root, labels, column="kind")
