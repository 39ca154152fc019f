"""The audit of real pixels: copies are found and unrelated pictures are not, faults are rows, tiny sets do not fail."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits

from automl_cnn import artifacts
from automl_cnn.artifacts import DUPLICATES, ISSUES, LABELS, MANIFEST, Files, read_json, read_table
from automl_cnn.audit.align import aligned_similarity
from automl_cnn.audit.clusters import Link, cluster_links
from automl_cnn.audit.decisions import read_decisions, write_decisions
from automl_cnn.audit.duplicates import find_duplicates
from automl_cnn.audit.files import find_file_issues
from automl_cnn.audit.properties import measure_properties
from automl_cnn.audit.thumbnails import coarse, grey_thumbnails, perceptual_hashes
from automl_cnn.config import AuditParams, Thresholds, parse_params
from automl_cnn.data.decode import decode
from automl_cnn.data.issues import findings_table
from automl_cnn.data.store import ImageStore, StoreWriter
from automl_cnn.progress import silent
from automl_cnn.stage import Stage

SIZE_PX = 96


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On a busy machine BLAS threads wait for each other."""
    with threadpool_limits(1):
        yield


def photo(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """A picture with structure at all scales, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=(height, width, 3)), (s, s, 0)) * s for s in (1, 3, 9)]
    return Image.fromarray(np.clip(128 + 90 * sum(layers), 0, 255).astype(np.uint8))


def cell(seed: int) -> Image.Image:
    """One of many nearly uniform solar cells: the same bars and rim, a little structure of its own."""
    rng = np.random.default_rng(seed)
    grey = np.full((100, 100), 190.0)
    grey[20:23], grey[50:53], grey[80:83] = 60, 60, 60
    grey[:3], grey[-3:], grey[:, :3], grey[:, -3:] = 90, 90, 90, 90
    grey += 60 * gaussian_filter(rng.normal(size=grey.shape), 2) + rng.normal(0, 1, grey.shape)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=40)
    return buffer.getvalue()


def write_set(files: Files, contents: list[tuple[str, bytes]]) -> tuple[pd.DataFrame, ImageStore]:
    """A manifest and a store of (label, file content); content without bytes is a broken file."""
    rows = []
    files.images.mkdir(parents=True)
    with StoreWriter(files.images, SIZE_PX, "letterbox") as writer:
        for number, (label, content) in enumerate(contents):
            path = f"{label}/{number:04d}.png"
            row = dict.fromkeys(MANIFEST.columns, "") | dict.fromkeys(("width", "height", "frames", "bytes"), 0)
            row |= {"path": path, "image_id": hashlib.sha256(path.encode()).hexdigest()[:16], "label": label}
            row |= {"sha256": hashlib.sha256(content).hexdigest(), "exif_orientation": 1, "store_row": -1}
            row |= {"status": "empty", "error": "the file has no bytes"}
            if content:
                image = decode(content, SIZE_PX, "letterbox", 100)
                row |= {"pixel_sha": image.pixel_sha, "width": image.width, "height": image.height}
                row |= {"frames": image.frames, "status": "ok", "error": "", "store_row": writer.add(image.pixels)}
            rows.append(row)
    manifest = pd.DataFrame(rows)[list(MANIFEST.columns)]
    artifacts.write_table(files.manifest, manifest, MANIFEST)
    return manifest, ImageStore.open(files.images)


def file_issues(manifest: pd.DataFrame, store: ImageStore) -> pd.DataFrame:
    properties = measure_properties(manifest[manifest["status"] == "ok"], store)
    return find_file_issues(manifest, properties, findings_table([], {}), Thresholds())


def clusters_of(tmp_path: Path, contents: list[bytes], embeddings: NDArray[np.float32] | None = None) -> list[set[int]]:
    manifest, store = write_set(Files(tmp_path), [("a", content) for content in contents])
    if embeddings is None:
        embeddings = np.random.default_rng(1).normal(size=(len(contents), 64)).astype(np.float32)
    found = find_duplicates(manifest, grey_thumbnails(manifest, store), embeddings, AuditParams())
    number = {path: row for row, path in enumerate(manifest["path"])}
    return sorted(({number[path] for path in part["path"]} for _, part in found.groupby("cluster")), key=min)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned": lambda image: image.rotate(90, expand=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_of_a_photo_is_found_and_other_photos_are_not(tmp_path: Path, change: str) -> None:
    photos = [photo(seed) for seed in range(30)]
    copy = jpeg(CHANGES[change](photos[7]))
    assert clusters_of(tmp_path, [*map(png, photos), copy]) == [{7, 30}]


def test_a_crop_is_found_through_its_embedding(tmp_path: Path) -> None:
    photos = [photo(seed) for seed in range(40)]
    embeddings = np.random.default_rng(1).normal(size=(41, 64)).astype(np.float32)
    embeddings[40] = embeddings[7] + 0.1
    crop = photos[7].crop((6, 4, 114, 85))
    assert clusters_of(tmp_path, [*map(png, photos), jpeg(crop)], embeddings) == [{7, 40}]


def test_near_embeddings_of_different_photos_make_no_cluster(tmp_path: Path) -> None:
    embeddings = 1 + 0.1 * np.random.default_rng(1).normal(size=(40, 64)).astype(np.float32)
    assert clusters_of(tmp_path, [png(photo(seed)) for seed in range(40)], embeddings) == []


def test_a_set_of_much_alike_pictures_is_not_one_cluster_and_its_copies_are_found(tmp_path: Path) -> None:
    cells = [cell(seed) for seed in range(150)]
    embeddings = 1 + 0.05 * np.random.default_rng(1).normal(size=(151, 64)).astype(np.float32)
    assert clusters_of(tmp_path, [*map(png, cells), jpeg(cells[11])], embeddings) == [{11, 150}]


def test_equal_files_and_equal_pixels_are_told_apart_from_near_copies(tmp_path: Path) -> None:
    photos = [photo(seed) for seed in range(12)]
    buffer = io.BytesIO()
    photos[3].save(buffer, "BMP")
    contents = [("a", png(p)) for p in photos] + [
        ("b", png(photos[0])),
        ("a", buffer.getvalue()),
        ("a", jpeg(photos[5])),
    ]
    manifest, store = write_set(Files(tmp_path), contents)
    embeddings = np.random.default_rng(1).normal(size=(15, 64)).astype(np.float32)
    found = find_duplicates(manifest, grey_thumbnails(manifest, store), embeddings, AuditParams())
    method = found.groupby("cluster")["method"].agg(set).tolist()
    assert sorted(map(sorted, method)) == [["phash"], ["pixels"], ["sha256"]]
    assert found.loc[found["method"] == "sha256", "label_conflict"].all()
    assert not found.loc[found["method"] != "sha256", "label_conflict"].any()
    assert (found.loc[found["method"] != "phash", "distance"] == 0).all()


def test_black_pictures_are_copies_only_when_their_pixels_are_equal(tmp_path: Path) -> None:
    black = Image.new("RGB", (90, 90))
    nearly = Image.fromarray(np.random.default_rng(1).integers(0, 3, (90, 90, 3), dtype=np.uint8))
    assert clusters_of(
        tmp_path, [*(png(photo(s)) for s in range(5)), png(black), png(nearly), png(black.convert("L"))]
    ) == [{5, 7}]


def test_a_chain_does_not_join_its_ends() -> None:
    links = [Link(row, row + 1, "phash", 0.1) for row in range(6)]
    clusters = cluster_links(links, lambda _, others: np.zeros(len(others), bool))
    assert max(len(members) for members in clusters) <= 3
    whole = cluster_links(links, lambda _, others: np.ones(len(others), bool))
    assert [sorted(members) for members in whole] == [[0, 1, 2, 3, 4, 5, 6]]


def test_equal_pixels_stay_together_whatever_they_look_like() -> None:
    links = [Link(0, row, "sha256", 0.0) for row in range(1, 5)]
    clusters = cluster_links(links, lambda _, others: np.zeros(len(others), bool))
    assert [sorted(members) for members in clusters] == [[0, 1, 2, 3, 4]]


def test_the_hash_is_the_one_of_imagehash() -> None:
    grey = np.stack([np.asarray(photo(seed).convert("L").resize((64, 64)), np.float32) for seed in range(5)])
    small = np.rint(coarse(grey))
    ours = perceptual_hashes(small) > 0
    theirs = [imagehash.phash(Image.fromarray(picture.astype(np.uint8))).hash.ravel() for picture in small]
    assert np.array_equal(ours, np.array(theirs))


def test_a_rotated_crop_aligns_and_another_picture_does_not() -> None:
    def thumbnail(image: Image.Image) -> NDArray[np.float32]:
        return np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BOX), np.float32)

    pictures = [photo(seed, 300, 300) for seed in range(6)]
    crops = [picture.rotate(4).crop((25, 20, 280, 275)) for picture in pictures]
    templates = np.stack([thumbnail(picture) for picture in pictures])
    images = np.stack([thumbnail(crop) for crop in crops])
    assert aligned_similarity(images, templates).min() > 0.85
    assert aligned_similarity(images, np.roll(templates, 1, axis=0)).max() < 0.5


def test_faults_of_files_are_rows_with_evidence(tmp_path: Path) -> None:
    blurred = Image.fromarray(gaussian_filter(np.asarray(photo(50)), (12, 12, 0)))
    flat = Image.new("RGB", (80, 60), (200, 200, 200))
    dark = Image.fromarray((np.asarray(photo(51)) // 16).astype(np.uint8))
    contents = [png(photo(s)) for s in range(6)] + [b"", png(flat), png(dark), png(blurred)]
    manifest, store = write_set(Files(tmp_path), [("a", content) for content in contents])
    issues = file_issues(manifest, store)
    found = {(row.issue, row.severity, row.path) for row in issues.itertuples()}
    assert found >= {
        ("empty_file", "block", "a/0006.png"), ("blank", "warn", "a/0007.png"), ("dark", "warn", "a/0008.png"),
        ("blurry", "warn", "a/0009.png"),
    }  # fmt: skip
    assert not any(path < "a/0006" for _, _, path in found)
    assert issues["evidence"].str.len().min() > 0


def test_the_letterbox_does_not_count_as_dark_or_as_contrast(tmp_path: Path) -> None:
    flat = Image.new("RGB", (60, 20), (90, 90, 90))
    manifest, store = write_set(Files(tmp_path), [("a", png(flat))])
    assert file_issues(manifest, store)["issue"].tolist() == ["blank"]


def run_stage_script(name: str, root: Path, params: dict[str, object]) -> Files:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "pipelines" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    files = Files(root)
    script.main(Stage(parse_params({"data": {"root": "x"}, **params}), files, root / "cache", silent))
    return files


def prepare(root: Path, contents: list[tuple[str, bytes]], decisions: str = "") -> pd.DataFrame:
    files = Files(root)
    manifest, store = write_set(files, contents)
    artifacts.write_table(files.scan_issues, findings_table([], {}), ISSUES)
    (root / "given.csv").write_text(decisions)
    write_decisions(files.decisions, read_decisions(root / "given.csv"))
    for backbone in ("one", "two"):
        folder = files.features / backbone
        folder.mkdir(parents=True)
        rng = np.random.default_rng(1)
        np.save(folder / "base.npy", rng.normal(size=(len(store), 16)).astype(np.float16))
    return manifest


@pytest.mark.parametrize(
    "labels", [["a"], ["a", "b"], ["a", "a", "b"], ["a"] * 12, ["a"] * 8 + ["b"]], ids=lambda v: "".join(v)
)
def test_the_audit_stage_copes_with_tiny_sets(tmp_path: Path, labels: list[str]) -> None:
    prepare(tmp_path, [(label, png(photo(seed))) for seed, label in enumerate(labels)])
    files = run_stage_script("audit", tmp_path, {"audit": {"backbones": ["one"]}})
    assert len(read_table(files.audit / "labels.parquet", LABELS)) == len(labels)
    assert len(read_table(files.audit / "duplicates.parquet", DUPLICATES)) == 0
    assert read_json(files.audit / "summary.json")["images"]["usable"] == len(labels)


def test_audit_and_split_take_broken_excluded_and_doubled_files_to_the_end(tmp_path: Path) -> None:
    contents = [(label, png(photo(seed))) for seed, label in enumerate(["a", "b"] * 15)]
    contents += [("a", png(photo(1))), ("a", b"")]
    verdict = hashlib.sha256(contents[4][1]).hexdigest()
    decisions = f"sha256,decision\n{verdict},exclude\n{'f' * 64},keep\n"
    manifest = prepare(tmp_path, contents, decisions)
    files = run_stage_script("audit", tmp_path, {"audit": {"backbones": ["one", "two"]}})
    summary = read_json(files.audit / "summary.json")
    assert summary["images"] == {"total": 32, "usable": 30, "by_status": {"empty": 1, "ok": 31}}
    assert summary["duplicates"]["label_conflicts"] == 1
    assert summary["decisions"]["applied"] == {"exclude": 1}
    assert [problem["line"] for problem in summary["decisions"]["problems"]] == [3]
    assert set(read_table(files.audit / "issues.parquet", ISSUES)["issue"]) >= {"empty_file", "exact_duplicate"}
    groups = read_table(files.audit / "groups.parquet", artifacts.GROUPS).set_index("image_id")["group"]
    assert groups[manifest["image_id"][1]] == groups[manifest["image_id"][30]]

    run_stage_script("split", tmp_path, {})
    splits = pd.read_parquet(files.split / "splits.parquet").set_index("path")
    assert splits.loc["a/0004.png", "reason"] == "excluded by a reviewer"
    assert splits.loc["a/0031.png", ["split", "reason"]].tolist() == ["quarantine", "broken: empty"]
    assert splits.loc["b/0001.png", "split"] == splits.loc["a/0030.png", "split"]
    assert read_json(files.split / "report.json")["leaks"] == 0
