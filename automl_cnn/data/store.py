"""The decoded images, in shards of numpy arrays: written once by ingest, memory-mapped by every later pass."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import read_json, write_json
from automl_cnn.errors import ArtifactError

SHARD_IMAGES = 512  # 77 MB a shard at 224 px
_VERSION = 1


class ImageStore:
    """Square RGB pictures by row number, read from disk as they are asked for.

    Attributes:
        size_px: side of every picture.
        resize: how the pictures were brought to that side: letterbox, crop or stretch.
        digest: BLAKE2b (hex, 256 bits) of the settings and all pixels, in order; says nothing of when they were made.
    """

    def __init__(self, folder: Path, size_px: int, resize: str, digest: str, count: int, shards: list[str]) -> None:
        self.size_px, self.resize, self.digest = size_px, resize, digest
        self._folder, self._count, self._shards = folder, count, shards
        self._open: dict[int, NDArray[np.uint8]] = {}

    @classmethod
    def open(cls, folder: Path) -> ImageStore:
        """Open a store and check that every shard has the size it should have.

        Raises:
            ArtifactError: index.json or a shard is missing, damaged, or of another version.
        """
        index = read_json(folder / "index.json")
        try:
            if index["version"] != _VERSION:
                raise _damaged(folder, f"version {index['version']}")
            size_px, count, shards = int(index["size_px"]), int(index["count"]), [str(name) for name in index["shards"]]
            store = cls(folder, size_px, str(index["resize"]), str(index["digest"]), count, shards)
        except (TypeError, KeyError, ValueError) as error:
            raise _damaged(folder, f"index.json without a good {error}") from None
        if len(shards) != -(-count // SHARD_IMAGES):
            raise _damaged(folder, f"{len(shards)} shards for {count:,} images")
        for number, name in enumerate(shards):
            images = min(SHARD_IMAGES, count - number * SHARD_IMAGES)
            expected = len(_header(images, size_px)) + images * size_px * size_px * 3
            try:
                found = (folder / name).stat().st_size
            except OSError:
                raise _damaged(folder, f"no {name}") from None
            if found != expected:
                raise _damaged(folder, f"{name} of {found:,} bytes instead of {expected:,}")
        return store

    def __len__(self) -> int:
        return self._count

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copy pictures out of the store.

        Args:
            rows: int64 [n], each from 0 to len − 1, in any order, repeats allowed.
        Returns:
            uint8 RGB [n, size_px, size_px, 3].
        Raises:
            IndexError: a row is out of range; −1 stands in the manifest for an image that was not decoded.
            ArtifactError: a shard is damaged.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= self._count):
            raise IndexError(f"rows from {rows.min()} to {rows.max()} of a store of {self._count} images")
        images = np.empty((len(rows), self.size_px, self.size_px, 3), np.uint8)
        numbers = rows // SHARD_IMAGES
        for number in np.unique(numbers):
            chosen = np.flatnonzero(numbers == number)
            images[chosen] = self._shard(int(number))[rows[chosen] % SHARD_IMAGES]
        return images

    def _shard(self, number: int) -> NDArray[np.uint8]:
        if number not in self._open:
            name = self._shards[number]
            images = min(SHARD_IMAGES, self._count - number * SHARD_IMAGES)
            try:
                shard = np.load(self._folder / name, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise _damaged(self._folder, f"{name}: {error}") from None
            if shard.dtype != np.uint8 or shard.shape != (images, self.size_px, self.size_px, 3):
                raise _damaged(self._folder, f"{name} with {shard.dtype} {shard.shape}")
            self._open[number] = shard
        return self._open[number]


class StoreWriter:
    """Write a store picture by picture; no more than one is held in memory.

    Use as a context manager. The store is complete, with its index, when the block has ended without an exception.

    Args:
        folder: an empty folder.
        size_px: side of every picture.
        resize: how they were brought to that side; kept for readers.
    """

    def __init__(self, folder: Path, size_px: int, resize: str) -> None:
        self._folder, self._size_px, self._resize = folder, size_px, resize
        self._hash = hashlib.blake2b(f"images v{_VERSION} {size_px} {resize}\n".encode(), digest_size=32)
        self._shards: list[str] = []
        self._file: IO[bytes] | None = None
        self.count = 0

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._close_shard()
        if kind is None:
            index = {"version": _VERSION, "size_px": self._size_px, "resize": self._resize, "count": self.count}
            write_json(self._folder / "index.json", {**index, "shards": self._shards, "digest": self.digest})

    @property
    def digest(self) -> str:
        """Of what has been added so far; as `ImageStore.digest`."""
        return self._hash.hexdigest()

    def add(self, pixels: NDArray[np.uint8]) -> int:
        """Append one picture, uint8 [size_px, size_px, 3], and give its row."""
        if pixels.dtype != np.uint8 or pixels.shape != (self._size_px, self._size_px, 3):
            raise ValueError(f"expected uint8 [{self._size_px}, {self._size_px}, 3], not {pixels.dtype} {pixels.shape}")
        if self._file is None or self.count % SHARD_IMAGES == 0:
            self._close_shard()
            name = f"shard-{len(self._shards):05}.npy"
            self._shards.append(name)
            self._file = (self._folder / name).open("wb")
            self._file.write(_header(SHARD_IMAGES, self._size_px))
        content = np.ascontiguousarray(pixels).data
        self._file.write(content)
        self._hash.update(content)
        self.count += 1
        return self.count - 1

    def _close_shard(self) -> None:
        """Put the true number of images into the header, which numpy pads so that its length does not change."""
        if self._file is not None:
            with self._file as file:
                file.seek(0)
                file.write(_header((self.count - 1) % SHARD_IMAGES + 1, self._size_px))
            self._file = None


def _header(images: int, size_px: int) -> bytes:
    """The .npy header of uint8 [images, size_px, size_px, 3]."""
    buffer = io.BytesIO()
    fields: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": (images, size_px, size_px, 3)}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()


def _damaged(folder: Path, received: str) -> ArtifactError:
    return ArtifactError(
        str(folder), expected="a whole store of decoded images", received=received,
        action="Remove the folder and run `dvc repro`.",
    )  # fmt: skip
