"""A folder becomes a manifest and a store: every file a row, nothing decoded twice, the same data the same bytes."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from automl_cnn.artifacts import MANIFEST, Files, read_table
from automl_cnn.config import DataParams
from automl_cnn.data.ingest import IngestSummary, ingest
from automl_cnn.data.manifest import image_id
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import DataError


class Project:
    """A folder of images and the artifacts made from it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.files, self.cache = folder / "photos", Files(folder / "artifacts"), folder / "cache"
        self.calls: list[tuple[int, int]] = []

    def put(self, path: str, content: bytes) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return place

    def ingest(self, **changes: object) -> IngestSummary:
        params = DataParams.model_validate({"root": str(self.root), "working_size_px": 32, **changes})
        return ingest(params, self.files, self.cache, lambda _, done, total, note="": self.calls.append((done, total)))

    def manifest(self) -> pd.DataFrame:
        return read_table(self.files.manifest, MANIFEST)

    def outputs(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.files.root.rglob("*")) if path.is_file()}

    def written(self) -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in sorted(self.files.root.rglob("*"))}


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(value: int) -> bytes:
    return saved(Image.new("RGB", (20, 10), (value, value, value)), "PNG")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Six good images of two classes."""
    made = Project(tmp_path)
    for value in range(6):
        made.put(f"{'ab'[value % 2]}/{value}.png", png(value * 40))
    return made


def test_odd_files_are_rows_with_a_status_and_none_stops_the_rest(project: Project) -> None:
    rgb = Image.effect_noise((30, 20), 90).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    header = struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", zlib.crc32(header[4:])) + saved(rgb, "PNG")[33:]
    whole = {
        "deep.png": saved(Image.fromarray(np.full((8, 8), 40_000, np.uint16)), "PNG"),
        "cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG"),
        "palette.png": saved(rgb.convert("RGBA").quantize(8), "PNG", transparency=0),
        "la.png": saved(rgb.convert("LA"), "PNG"),
        "bits.png": saved(rgb.convert("1"), "PNG"),
        "moving.gif": saved(rgb, "GIF", save_all=True, append_images=[Image.new("RGB", (30, 20))]),
        "turned.jpg": saved(rgb, "JPEG", exif=exif),
        "really_a_png.jpg": saved(rgb, "PNG"),
        "no_extension": saved(rgb, "JPEG"),
        "old.bmp": saved(rgb, "BMP"),
        "scan.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
        "SHOUTING.PNG": saved(rgb, "PNG"),
        "web.webp": saved(rgb, "WEBP"),
    }
    broken = {
        "zero.jpg": (b"", "empty"),
        "cut.jpg": (saved(rgb, "JPEG")[:-200], "truncated"),
        "cut.png": (saved(rgb, "PNG")[:-200], "truncated"),
        "page.jpg": (b"<!doctype html><title>404</title>", "not_an_image"),
        "bomb.png": (bomb, "too_large"),
        "phone.heic": (b"\x00\x00\x00\x18ftypheic" + bytes(30), "unsupported"),
        "mangled.png": (saved(rgb, "PNG")[:60] + b"\xff" * 40 + saved(rgb, "PNG")[100:], "unreadable"),
    }
    for name, content in whole.items():
        project.put(f"a/{name}", content)
    for name, (content, _) in broken.items():
        project.put(f"b/{name}", content)

    summary = project.ingest()

    table = project.manifest().set_index("path")
    assert len(table) == 6 + len(whole) + len(broken) == sum(summary.by_status.values())
    assert {name: table.loc[f"a/{name}", "status"] for name in whole} == dict.fromkeys(whole, "ok")
    assert {name: table.loc[f"b/{name}", "status"] for name in broken} == {name: s for name, (_, s) in broken.items()}
    assert (table.loc[table["status"] == "ok", "error"] == "").all()
    assert (table.loc[table["status"] != "ok", "error"] != "").all()
    assert (table.loc[table["status"] != "ok", "store_row"] == -1).all()
    assert tuple(table.loc["a/turned.jpg", ["width", "height", "exif_orientation"]]) == (20, 30, 6)
    assert table.loc["a/moving.gif", "frames"] == 2
    assert table.loc["a/really_a_png.jpg", "format"] == "PNG"


def test_the_store_row_leads_to_the_pixels(project: Project) -> None:
    project.put("a/00_broken.png", b"")
    project.ingest(resize="stretch")
    store = ImageStore.open(project.files.images)
    for row in project.manifest().query("status == 'ok'").itertuples():
        assert (store.read(np.array([row.store_row])) == int(Path(row.path).stem) * 40).all()


def test_the_manifest_is_sorted_and_its_ids_come_from_the_path_alone(project: Project) -> None:
    project.ingest()
    table = project.manifest()
    assert table["path"].is_monotonic_increasing
    assert table["image_id"].is_unique
    assert table["image_id"].tolist() == [image_id(path) for path in table["path"]]
    assert image_id("a/cafe\u0301.jpg") == image_id("a/caf\u00e9.jpg")
    assert not any(str(project.root) in str(value) for value in table.to_numpy().ravel())


def test_an_unchanged_folder_decodes_nothing_and_writes_nothing(project: Project) -> None:
    project.put("a/broken.jpg", b"<html>")
    first = project.ingest()
    before = project.written()
    project.calls.clear()
    second = project.ingest()
    assert (first.decoded, first.reused, second.decoded, second.reused) == (7, 0, 0, 7)
    assert second.by_status == first.by_status == {"ok": 6, "not_an_image": 1}
    assert project.written() == before
    assert not project.calls


def test_only_changed_files_are_decoded_and_the_result_is_as_from_scratch(project: Project, tmp_path: Path) -> None:
    project.ingest()
    project.put("a/0.png", png(17))
    project.put("a/11.png", png(99))
    (project.root / "b/3.png").unlink()
    assert (project.ingest().decoded, len(ImageStore.open(project.files.images))) == (2, 6)
    from_scratch = Project(tmp_path / "again")
    from_scratch.root = project.root
    from_scratch.ingest()
    assert list(project.outputs().values()) == list(from_scratch.outputs().values())


def test_a_touched_file_is_looked_at_again_and_nothing_differs(project: Project) -> None:
    project.ingest()
    before = project.outputs()
    os.utime(project.root / "a/0.png")
    assert project.ingest().decoded == 1
    assert project.outputs() == before


def test_a_file_replaced_under_the_same_size_and_time_is_noticed(project: Project) -> None:
    place = project.put("a/bitmap.bmp", saved(Image.new("RGB", (8, 8), "red"), "BMP"))
    project.ingest()
    times = place.stat()
    time.sleep(0.01)  # a file system's clock ticks every few milliseconds
    place.write_bytes(saved(Image.new("RGB", (8, 8), "blue"), "BMP"))
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert project.ingest().decoded == 1


def test_a_lost_or_foreign_manifest_or_store_is_made_anew(project: Project) -> None:
    project.ingest()
    whole = project.outputs()
    project.files.manifest.unlink()
    assert project.ingest().decoded == 6
    (project.files.images / "shard-00000.npy").write_bytes(b"damaged")
    assert project.ingest().decoded == 6
    (project.cache / "ingest" / "last.json").write_text("{")
    assert project.ingest().decoded == 6
    assert project.outputs() == whole


def test_another_size_decodes_everything_again(project: Project) -> None:
    project.ingest()
    assert project.ingest(working_size_px=48).decoded == 6
    assert ImageStore.open(project.files.images).size_px == 48


def test_a_relabelled_image_changes_the_manifest_and_leaves_the_store(project: Project, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label,patient\na/0.png,x,p1\na/2.png,y,p2\nb/lost.png,y,p3\n")
    project.ingest(labels=str(labels), group_column="patient")
    store = (project.files.images / "index.json").stat().st_mtime_ns
    labels.write_text("path,label,patient\na/0.png,y,p1\na/2.png,x,p9\nb/lost.png,y,p3\n")
    assert project.ingest(labels=str(labels), group_column="patient").decoded == 0
    table = project.manifest()
    assert table["label"].tolist() == ["y", "x", "y"]
    assert table["patient"].tolist() == ["p1", "p9", "p3"]
    assert table["status"].tolist() == ["ok", "ok", "missing"]
    assert (project.files.images / "index.json").stat().st_mtime_ns == store


def test_a_group_column_that_does_not_exist_is_named_before_anything_is_decoded(project: Project) -> None:
    with pytest.raises(DataError, match=r"data\.group_column: expected a column of the label CSV; received 'patient'"):
        project.ingest(group_column="patient")
    assert not project.calls


def test_a_folder_without_one_good_image_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.put("a/1.jpg", b"")
    project.put("b/2.jpg", b"hello")
    with pytest.raises(DataError, match=r"empty 1, not_an_image 1, such as 'a/1\.jpg'"):
        project.ingest()
    assert not project.outputs()
    assert not list(project.files.root.iterdir())


def test_a_file_without_permission_is_a_row_and_is_read_once_it_may_be(project: Project) -> None:
    place = project.root / "a/0.png"
    place.chmod(0)
    if os.access(place, os.R_OK):
        pytest.skip("the superuser reads everything")
    assert project.ingest().by_status == {"ok": 5, "unreadable": 1}
    assert project.ingest().decoded == 0
    place.chmod(0o644)
    assert project.ingest().by_status == {"ok": 6}


def test_the_summary_says_what_was_found(project: Project) -> None:
    project.put("a/notes.txt", b"x")
    project.put("loose.png", png(1))
    text = "\n".join(project.ingest().lines())
    for part in ("6 images: ok 6", "2 classes: a 3, b 3", ".txt 1", "1 files lie directly in data.root"):
        assert part in text
