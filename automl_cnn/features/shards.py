"""Feature vectors on disk, found by the digest of the picture they belong to; many processes may add at once.

A shard is an .npz of `digests` uint8 [n, 16] and `features` float16 [n, d]. It is written whole under a name made of
its digests and never changed. The index is the shards' own first members, so it cannot disagree with them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing
from automl_cnn.errors import FULL_DISK, ArtifactError

if sys.platform != "win32":
    import fcntl

DIGEST_BYTES = 16
_log = logging.getLogger(__name__)


class FeatureShards:
    """The vectors of one network and one view.

    Args:
        folder: holds the shards; made when the first is added.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[bytes, tuple[str, int]] = {}  # digest → shard and row
        self._listed: set[str] = set()

    def refresh(self) -> None:
        """Learn of shards that were added since the last time, here or by another process."""
        for name in sorted({path.name for path in self._folder.glob("*.npz")} - self._listed):
            with self._guarded(name), np.load(self._folder / name, allow_pickle=False) as shard:
                digests = np.ascontiguousarray(_checked_digests(shard["digests"]))
                for row, digest in enumerate(digests.view(f"V{DIGEST_BYTES}").ravel().tolist()):
                    self._places.setdefault(digest, (name, row))
                self._listed.add(name)

    def missing(self, digests: list[bytes]) -> list[int]:
        """Positions of the first occurrence of each digest that no known shard holds, in order."""
        first = {digest: position for position, digest in reversed(list(enumerate(digests)))}
        return sorted(position for digest, position in first.items() if digest not in self._places)

    def add(self, digests: list[bytes], features: NDArray[np.float16]) -> None:
        """Write one shard.

        Args:
            digests: n of DIGEST_BYTES bytes, no two the same.
            features: float16 [n, d].
        Raises:
            ArtifactError: the disk is full.
        """
        joined = b"".join(digests)
        name = f"{hashlib.blake2b(joined, digest_size=12).hexdigest()}.npz"
        keys = np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)
        try:
            with replacing(self._folder / name) as temporary, temporary.open("wb") as file:
                np.savez(file, digests=keys, features=features)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            raise ArtifactError(
                str(self._folder), expected=f"room for {features.nbytes:,} bytes of features", received="a full disk",
                action="Free some; `automl-cnn cache prune` removes what has not been used for long.",
            ) from None  # fmt: skip
        self.refresh()

    def read(self, digests: list[bytes]) -> NDArray[np.float16] | None:
        """The vectors in the order of `digests`, float16 [n, d]; None where one is missing or turned out damaged."""
        if not digests or any(digest not in self._places for digest in digests):
            return None
        places = [self._places[digest] for digest in digests]
        wanted: dict[str, list[int]] = {}
        for position, (name, _) in enumerate(places):
            wanted.setdefault(name, []).append(position)
        features: NDArray[np.float16] | None = None
        for name, positions in wanted.items():
            with self._guarded(name), np.load(self._folder / name, allow_pickle=False) as shard:
                vectors = _checked_features(shard["features"], len(shard["digests"]))
                if features is None:
                    features = np.empty((len(digests), vectors.shape[1]), np.float16)
                features[positions] = vectors[[places[position][1] for position in positions]]
            if name not in self._listed:
                return None
        return features

    @contextlib.contextmanager
    def turn(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold every other process off while the block computes and adds one shard; a process that dies lets go.

        Args:
            waiting: called once where another process has the turn.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("wb") as file:
            _lock(file, waiting)
            yield

    def touch(self) -> None:
        """Say that these vectors were used now."""
        with contextlib.suppress(OSError):
            os.utime(self._folder)

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Set a shard aside that cannot be read, and forget what it held."""
        try:
            yield
        except FileNotFoundError:  # pruned by another process
            self._forget(name)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            self._forget(name)
            path = self._folder / name
            with contextlib.suppress(FileNotFoundError):
                path.rename(path.with_suffix(".damaged"))
            _log.warning("%s is damaged (%s): it is set aside and its features are computed anew.", path, error)

    def _forget(self, name: str) -> None:
        self._listed.discard(name)
        self._places = {digest: place for digest, place in self._places.items() if place[0] != name}


def _checked_digests(digests: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if digests.dtype != np.uint8 or digests.ndim != 2 or digests.shape[1] != DIGEST_BYTES:
        raise ValueError(f"digests are {digests.dtype} {digests.shape}")
    return digests


def _checked_features(features: NDArray[np.float16], count: int) -> NDArray[np.float16]:
    if features.dtype != np.float16 or features.ndim != 2 or len(features) != count:
        raise ValueError(f"features are {features.dtype} {features.shape}")
    return features


def _lock(file: IO[bytes], waiting: Callable[[], None]) -> None:
    if sys.platform != "win32":  # there two processes may compute the same images twice, which is slow and not wrong
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
