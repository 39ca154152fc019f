"""The image store gives back what was put in, and notices what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_cnn.data import store as store_module
from automl_cnn.data.store import ImageStore, StoreWriter
from automl_cnn.errors import ArtifactError


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SHARD_IMAGES", 4)


def images(count: int, seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def write(folder: Path, pixels: NDArray[np.uint8]) -> ImageStore:
    folder.mkdir()
    with StoreWriter(folder, 8, "letterbox") as writer:
        assert [writer.add(image) for image in pixels] == list(range(len(pixels)))
    return ImageStore.open(folder)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 10])
def test_what_is_written_is_read_in_any_order(tmp_path: Path, count: int) -> None:
    pixels = images(count)
    store = write(tmp_path / "s", pixels)
    rows = np.random.default_rng(2).integers(0, count, 20)
    assert len(store) == count
    assert np.array_equal(store.read(rows), pixels[rows])
    assert store.read(np.array([], dtype=np.int64)).shape == (0, 8, 8, 3)


def test_shards_are_plain_numpy_files(tmp_path: Path) -> None:
    pixels = images(6)
    write(tmp_path / "s", pixels)
    shards = [np.load(path) for path in sorted((tmp_path / "s").glob("shard-*.npy"))]
    assert np.array_equal(np.concatenate(shards), pixels)


def test_the_same_pixels_give_the_same_files_and_digest(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", images(6)), write(tmp_path / "b", images(6))
    other = write(tmp_path / "c", images(6)[::-1])
    assert first.digest == second.digest != other.digest
    for name in ("index.json", "shard-00001.npy"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("row", [-1, 6])
def test_a_row_that_is_not_there_is_an_error_not_another_image(tmp_path: Path, row: int) -> None:
    store = write(tmp_path / "s", images(6))
    with pytest.raises(IndexError):
        store.read(np.array([0, row]))


def test_missing_and_damaged_stores_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with pytest.raises(ArtifactError, match="none there"):
        ImageStore.open(folder)
    write(folder, images(6))
    shard = folder / "shard-00001.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(ArtifactError, match=r"shard-00001\.npy of"):
        ImageStore.open(folder)
    shard.write_bytes(b"?" + whole[1:])
    with pytest.raises(ArtifactError, match=r"shard-00001\.npy"):
        ImageStore.open(folder).read(np.array([5]))
    shard.unlink()
    with pytest.raises(ArtifactError, match=r"no shard-00001\.npy"):
        ImageStore.open(folder)
    (folder / "index.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"index\.json"):
        ImageStore.open(folder)


def test_a_store_whose_writing_failed_has_no_index(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, 8, "crop")
    writer.add(images(1)[0])
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    with pytest.raises(ArtifactError):
        ImageStore.open(tmp_path)
