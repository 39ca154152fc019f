"""Features of stored pictures, each computed once: a picture is known by its pixels, not by its row or its file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.augment import cached_view, view_name
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import WeightsError
from automl_cnn.features.digests import pixel_digests
from automl_cnn.features.embed import Change, embed_rows
from automl_cnn.features.engine import Engine, open_engine
from automl_cnn.features.frozen import FrozenNetwork
from automl_cnn.features.shards import FeatureShards
from automl_cnn.progress import Progress, silent

SHARD_IMAGES = 512
SHARD_SECONDS = 20.0  # a slow network writes smaller shards, so that a killed run loses no more than this
PROBE_BATCHES, PROBE_ROUNDS = 4, 3
LONG_BATCH_SECONDS = 2.0


class FeatureCache:
    """Engines and features by content. Any number of processes may use one folder at once.

    Args:
        folder: holds engines/, features/ and digests/; usually `.automl-cnn`. It may be deleted at will.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[Path, FeatureShards] = {}
        self._digests: dict[str, list[bytes]] = {}
        self._engine: tuple[str, Engine] | None = None

    def fetch(
        self, network: FrozenNetwork, store: ImageStore, rows: NDArray[np.int64], policy: str = "none", view: int = 0,
        forbid_flips: Collection[str] = (), progress: Progress = silent,
    ) -> NDArray[np.float16]:  # fmt: skip
        """Features of pictures; those that are not in the cache are computed and kept.

        Args:
            network: what computes them.
            store: the decoded images.
            rows: int64 [n], rows of the store, in any order, repeats allowed.
            policy: a key of data.augment.POLICIES; none for the pictures themselves.
            view: which view of the policy, from 0.
            forbid_flips: axes along which no view is mirrored.
            progress: told of every batch that is computed.
        Returns:
            float16 [n, d], in the order of `rows`.
        Raises:
            WeightsError: no pretrained weights can be had, or they give features that are no numbers.
        """
        if not len(rows):
            return np.empty((0, network.width), np.float16)
        name = view_name(policy, view, forbid_flips)
        pictures, shards = self._pictures(store, rows, network.input_size_px), self._shards_of(network.key(), name)

        def change(pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
            return cached_view(pixels, policy, view, pictures.seed(row), forbid_flips)

        while (features := shards.read(pictures.digests)) is None:  # again where a shard turns out to be damaged
            engine = self._open(network)
            label = f"{network.backbone} {network.input_size_px} px {name}"
            _fill(shards, engine, pictures, None if name == "image" else change, label, progress)
        shards.touch()
        return features

    def missing(
        self, network: FrozenNetwork, store: ImageStore, rows: NDArray[np.int64], policy: str = "none", view: int = 0,
        forbid_flips: Collection[str] = (),
    ) -> int:  # fmt: skip
        """How many pictures `fetch` with the same arguments would compute; pictures of equal pixels count once."""
        shards = self._shards_of(network.key(), view_name(policy, view, forbid_flips))
        return len(shards.missing(self._pictures(store, rows, network.input_size_px).digests))

    def seconds_per_image(self, network: FrozenNetwork, store: ImageStore) -> float:
        """What computing one feature vector takes here, reading and shrinking included; measured, for the budget.

        The engine is made first where it is not there yet, which takes some 20 s and is not counted.
        """
        engine = self._open(network)

        def seconds(images: int) -> float:
            started = time.perf_counter()
            for _ in embed_rows(engine, store, np.arange(images) % len(store), network.input_size_px):
                pass
            return (time.perf_counter() - started) / images

        first = seconds(engine.batch)  # also warms up: the first call is slower
        if first * engine.batch > LONG_BATCH_SECONDS:
            return first
        return statistics.median(seconds(PROBE_BATCHES * engine.batch) for _ in range(PROBE_ROUNDS))

    def _pictures(self, store: ImageStore, rows: NDArray[np.int64], input_size_px: int) -> _Pictures:
        if store.digest not in self._digests:
            self._digests[store.digest] = pixel_digests(store, self._folder / "digests")
        return _Pictures(store, rows, input_size_px, self._digests[store.digest])

    def _shards_of(self, key: str, name: str) -> FeatureShards:
        folder = self._folder / "features" / key / name
        shards = self._shards.setdefault(folder, FeatureShards(folder))
        shards.refresh()
        return shards

    def _open(self, network: FrozenNetwork) -> Engine:
        """The engine; the last one stays open, as views of one network follow each other."""
        key = network.key()
        if self._engine is None or self._engine[0] != key:
            self._engine = None  # let go of the old one before the new one takes its memory
            self._engine = key, open_engine(network, self._folder / "engines")
        return self._engine[1]


class _Pictures:
    """Rows of a store, and by what the cache knows them."""

    def __init__(self, store: ImageStore, rows: NDArray[np.int64], input_size_px: int, known: list[bytes]) -> None:
        self.store, self.rows, self.input_size_px = store, rows, input_size_px
        self._known = known
        self.digests = [known[row] for row in rows.tolist()]

    def seed(self, row: int) -> int:
        """Of a picture's augmented views: from its pixels, so that its row may change."""
        return int.from_bytes(self._known[row][:8], "little")


def _fill(
    shards: FeatureShards, engine: Engine, pictures: _Pictures, change: Change | None, label: str, progress: Progress
) -> None:
    """Compute what is missing, a shard at a time, taking turns with other processes that do the same."""
    total = len(shards.missing(pictures.digests))

    def tell(left: int, note: str = "") -> None:
        progress(label, total - left, total, note)

    while left := len(shards.missing(pictures.digests)):
        with shards.turn(partial(tell, left, "another process is computing them")):
            shards.refresh()  # what the other has computed meanwhile is not computed here
            if todo := shards.missing(pictures.digests):
                features = _compute(engine, pictures, todo, change, tell)
                shards.add([pictures.digests[position] for position in todo[: len(features)]], features)


def _compute(
    engine: Engine, pictures: _Pictures, todo: list[int], change: Change | None, tell: Callable[[int], None]
) -> NDArray[np.float16]:
    """Features of the first of `todo`, as many as make a shard."""
    parts: list[NDArray[np.float16]] = []
    started = time.monotonic()
    rows = pictures.rows[todo[:SHARD_IMAGES]]
    for part in embed_rows(engine, pictures.store, rows, pictures.input_size_px, change):
        parts.append(part.astype(np.float16))
        tell(len(todo) - sum(map(len, parts)))
        if time.monotonic() - started > SHARD_SECONDS:
            break
    features = np.concatenate(parts)
    if not np.isfinite(features).all():
        raise WeightsError(
            "pretrained weights", expected="features that are finite numbers", received="infinity or NaN",
            action="The weights file is damaged or belongs to another network: give another in search.weights_dir.",
        )  # fmt: skip
    return features
