"""Copies of pictures are found, unrelated pictures are not, and clusters are what they should be."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from picture_sets import cell, jpeg, photo, png, write_set
from PIL import Image, ImageEnhance, ImageOps
from threadpoolctl import threadpool_limits

from automl_cnn.artifacts import Files
from automl_cnn.audit.duplicates import find_copies
from automl_cnn.audit.thumbnails import grey_thumbnails
from automl_cnn.config import AuditParams


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On a busy machine BLAS threads wait for each other."""
    with threadpool_limits(1):
        yield


def crop(image: Image.Image, share: float) -> Image.Image:
    """Cut a share of the width and height off each side."""
    across, down = round(share * image.width), round(share * image.height)
    return image.crop((across, down, image.width - across, image.height - down))


def table_of(
    folder: Path,
    contents: list[tuple[str, bytes]],
    embeddings: NDArray[np.float32] | None = None,
    index_above: int = 50_000,
) -> pd.DataFrame:  # fmt: skip
    """The DUPLICATES table of files with labels; their paths are <label>/<number of four digits>.png."""
    manifest, store = write_set(Files(folder), contents)
    if embeddings is None:
        embeddings = np.random.default_rng(1).normal(size=(len(contents), 64)).astype(np.float32)
    params = AuditParams(index_above=index_above)
    return find_copies(manifest, grey_thumbnails(manifest, store), embeddings, params).table


def members(found: pd.DataFrame) -> list[set[int]]:
    """The numbers of the files in each cluster."""
    return sorted(({int(path[-8:-4]) for path in part["path"]} for _, part in found.groupby("cluster")), key=min)


def clusters_of(folder: Path, contents: list[bytes], embeddings: NDArray[np.float32] | None = None) -> list[set[int]]:
    return members(table_of(folder, [("a", content) for content in contents], embeddings))


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
    assert clusters_of(tmp_path, [*map(png, photos), jpeg(crop(photos[7], 0.05))], embeddings) == [{7, 40}]


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
    found = table_of(tmp_path, contents)
    method = found.groupby("cluster")["method"].agg(set).tolist()
    assert sorted(map(sorted, method)) == [["phash"], ["pixels"], ["sha256"]]
    assert (found.loc[found["method"] != "phash", "distance"] == 0).all()
    assert found.set_index("path").loc["a/0013.png", "reason"] == "the same pixels as a/0003.png"


def test_a_cluster_with_two_labels_comes_first_and_each_cluster_has_one_centre(tmp_path: Path) -> None:
    contents = [("a", png(photo(seed))) for seed in range(12)]
    contents += [("a", jpeg(photo(0))), ("b", png(photo(7))), ("a", jpeg(photo(9)))]
    found = table_of(tmp_path, contents)
    assert found.groupby("cluster")["label_conflict"].first().tolist() == [True, False, False]
    assert found.loc[found["label_conflict"], "path"].tolist() == ["a/0007.png", "b/0013.png"]
    assert (found.groupby("cluster")["medoid"].sum() == 1).all()


def test_the_order_of_the_rows_does_not_change_the_clusters(tmp_path: Path) -> None:
    contents = [png(photo(seed)) for seed in range(30)]
    contents += [jpeg(photo(3)), jpeg(photo(3).rotate(4)), png(photo(5)), jpeg(photo(8).crop((4, 3, 116, 87)))]
    manifest, store = write_set(Files(tmp_path), [("a", content) for content in contents])
    thumbnails = grey_thumbnails(manifest, store)
    embeddings = np.random.default_rng(1).normal(size=(len(contents), 64)).astype(np.float32)
    found = find_copies(manifest, thumbnails, embeddings, AuditParams()).table
    assert members(found) == [{3, 30, 31}, {5, 32}, {8, 33}]
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(contents))
        shuffled = find_copies(manifest.iloc[order], thumbnails[order], embeddings[order], AuditParams()).table
        pd.testing.assert_frame_equal(shuffled, found)


def test_pictures_that_change_a_little_at_a_time_are_not_one_cluster(tmp_path: Path) -> None:
    first, last = photo(100), photo(101)
    chain = [png(Image.blend(first, last, step / 25)) for step in range(26)]
    found = clusters_of(tmp_path, [*chain, *(png(photo(seed)) for seed in range(30))])
    assert max(map(len, found)) <= 16  # neighbours are copies, and stay together up to what looks like their centre
    assert not any({0, 25} <= cluster for cluster in found)
    assert sum(map(len, found)) == len(set.union(*found))


def test_a_picture_with_many_copies_is_one_cluster(tmp_path: Path) -> None:
    copies = [jpeg(photo(1), quality) for quality in range(70, 94, 2)]
    assert clusters_of(tmp_path, [*(png(photo(seed)) for seed in range(2, 62)), *copies]) == [set(range(60, 72))]


def test_the_index_finds_the_clusters_that_comparing_all_pairs_finds(tmp_path: Path) -> None:
    contents = [("a", png(photo(seed))) for seed in range(50)]
    contents += [("a", jpeg(CHANGES[change](photo(row)))) for row, change in enumerate(CHANGES)]
    contents += [("a", jpeg(photo(row).crop((4, 3, 116, 87)))) for row in range(20, 26)]
    exact = table_of(tmp_path / "exact", contents)
    indexed = table_of(tmp_path / "indexed", contents, index_above=10)
    assert exact["cluster"].nunique() == 12
    pd.testing.assert_frame_equal(indexed, exact)


@pytest.mark.real_data
def test_crops_and_rotations_of_real_photographs_are_found_and_no_others(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "clothing" / "images"
    if not folder.is_dir():
        pytest.skip("../shared/data is absent")
    photos = [Image.open(path).convert("RGB") for path in sorted(folder.rglob("*.jpg"))[::40]]
    sources = list(range(0, len(photos), 6))
    for number, change in enumerate((lambda image: image.rotate(5), lambda image: crop(image, 0.03))):
        contents = [*map(jpeg, photos), *(jpeg(change(photos[row])) for row in sources)]
        found = clusters_of(tmp_path / str(number), contents)
        right = [cluster for cluster in found if cluster in [{row, len(photos) + i} for i, row in enumerate(sources)]]
        assert len(right) >= 0.85 * len(sources)
        assert len(found) - len(right) <= 1


def test_black_pictures_are_copies_only_when_their_pixels_are_equal(tmp_path: Path) -> None:
    black = Image.new("RGB", (90, 90))
    nearly = Image.fromarray(np.random.default_rng(1).integers(0, 3, (90, 90, 3), dtype=np.uint8))
    assert clusters_of(
        tmp_path, [*(png(photo(s)) for s in range(5)), png(black), png(nearly), png(black.convert("L"))]
    ) == [{5, 7}]
