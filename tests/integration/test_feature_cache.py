"""The feature cache with a real network: every picture computed once, whoever asks and whatever is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from automl_cnn.data.split_images import load_images
from automl_cnn.data.store import ImageStore, StoreWriter
from automl_cnn.features.cache import FeatureCache
from automl_cnn.features.embeddings import write_embeddings
from automl_cnn.features.engine import FeatureEngine, KerasEngine, build_engine
from automl_cnn.features.frozen import FrozenNetwork
from automl_cnn.features.shards import DIGEST_BYTES, FeatureShards

BACKBONE, SIZE_PX, IMAGES = "efficientnet-lite0", 32, 90
NETWORK = FrozenNetwork(BACKBONE, SIZE_PX)


def write_store(folder: Path, pictures: np.ndarray) -> ImageStore:
    folder.mkdir()
    with StoreWriter(folder, pictures.shape[1], "letterbox") as writer:
        for picture in pictures:
            writer.add(picture)
    return ImageStore.open(folder)


def draw(count: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the engine alone: converting takes seconds, and is done once."""
    folder = tmp_path_factory.mktemp("engines")
    build_engine(NETWORK, folder / "engines")
    return folder


@pytest.fixture
def folder(engines: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(engines, tmp_path / "cache"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return write_store(tmp_path_factory.mktemp("pictures") / "images", draw(IMAGES, 1))


def fetch(folder: Path, store: ImageStore, rows: np.ndarray, *view: object) -> tuple[np.ndarray, int]:
    """Features, and how many of them were computed."""
    cache = FeatureCache(folder)
    computed = cache.missing(NETWORK, store, rows, *view)
    return cache.fetch(NETWORK, store, rows, *view), computed


def test_features_are_those_of_the_engine_and_are_computed_once(folder: Path, store: ImageStore) -> None:
    rows = np.array([5, 88, 0, 5])
    found, computed = fetch(folder, store, rows)
    path = build_engine(NETWORK, folder / "engines")
    expected = FeatureEngine(path, threads=1).embed(load_images(store, rows[:3], SIZE_PX))
    np.testing.assert_allclose(found[:3].astype(np.float32), expected, atol=2e-3)
    np.testing.assert_array_equal(found[3], found[0])
    again, computed_again = fetch(folder, store, rows)
    np.testing.assert_array_equal(again, found)
    assert (computed, computed_again) == (3, 0)


def test_new_pictures_are_computed_alone_wherever_the_old_ones_have_moved(
    folder: Path, store: ImageStore, tmp_path: Path
) -> None:
    before, _ = fetch(folder, store, np.arange(IMAGES), "crop", 1)
    grown = write_store(tmp_path / "grown", np.concatenate([draw(7, 2), store.read(np.arange(IMAGES))[::-1]]))
    after, computed = fetch(folder, grown, np.arange(IMAGES + 7), "crop", 1)
    assert computed == 7
    np.testing.assert_array_equal(after[7:], before[::-1])


def test_flips_of_two_policies_share_their_features(folder: Path, store: ImageStore) -> None:
    rows = np.arange(12)
    mirrored, computed = fetch(folder, store, rows, "flip", 0)
    shared, computed_again = fetch(folder, store, rows, "flips", 0)
    assert (computed, computed_again) == (12, 0)
    np.testing.assert_array_equal(mirrored, shared)
    assert not np.array_equal(mirrored, fetch(folder, store, rows)[0])


def test_the_audit_gets_a_row_for_every_picture_and_a_second_run_computes_nothing(
    folder: Path, store: ImageStore, tmp_path: Path
) -> None:
    computed = [write_embeddings(NETWORK, store, tmp_path / "out", folder) for _ in range(2)]
    assert computed == [IMAGES, 0]
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "base.npy"), fetch(folder, store, np.arange(IMAGES))[0])


FILL = """
import json, sys
from pathlib import Path
import numpy as np
from automl_cnn.data.split_images import load_images
from automl_cnn.data.store import ImageStore
from automl_cnn.features import cache
from automl_cnn.features.frozen import FrozenNetwork
cache.SHARD_IMAGES = 8
computed = []
whole = cache._compute
def counted(*arguments):
    features = whole(*arguments)
    computed.append(len(features))
    return features
cache._compute = counted
store = ImageStore.open(Path(sys.argv[2]))
network = FrozenNetwork("efficientnet-lite0", 32)
found = cache.FeatureCache(Path(sys.argv[1])).fetch(network, store, np.arange(len(store)))
print(json.dumps([sum(computed), found.astype(float).sum(), "tensorflow" in sys.modules]))
"""


def start(folder: Path, images: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", FILL, str(folder), str(images)], stdout=subprocess.PIPE, text=True)


def test_two_processes_share_the_work_and_a_killed_one_loses_no_more_than_a_shard(
    folder: Path, store: ImageStore, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    everything = write_store(images, store.read(np.arange(IMAGES)))
    doomed = start(folder, images)
    deadline = time.monotonic() + 60
    while not any(folder.glob("features/*/image/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.communicate()
    left = FeatureCache(folder).missing(NETWORK, everything, np.arange(IMAGES))
    results = [json.loads(process.communicate(timeout=120)[0]) for process in [start(folder, images) for _ in range(2)]]
    assert 0 < left < IMAGES
    assert sum(computed for computed, _, _ in results) == left
    assert len({total for _, total, _ in results}) == 1
    assert not any(tensorflow for _, _, tensorflow in results)
    assert FeatureCache(folder).missing(NETWORK, everything, np.arange(IMAGES)) == 0


def test_a_damaged_shard_is_computed_anew(folder: Path, store: ImageStore, caplog: pytest.LogCaptureFixture) -> None:
    before, _ = fetch(folder, store, np.arange(IMAGES))
    (shard,) = folder.glob("features/*/image/*.npz")
    shard.write_bytes(shard.read_bytes()[:-2000])
    cache = FeatureCache(folder)
    after = cache.fetch(NETWORK, store, np.arange(IMAGES))
    np.testing.assert_array_equal(after, before)
    assert len(caplog.messages) == 1
    assert shard.with_suffix(".damaged").exists()


def test_the_keras_engine_gives_the_features_of_litert(engines: Path) -> None:
    keras = pytest.importorskip("keras")
    from automl_cnn.features.engine import pretrained_embedder

    images = draw(11, 3)[:, :SIZE_PX, :SIZE_PX]
    path = build_engine(NETWORK, engines / "engines")
    lite = FeatureEngine(path, lanes=2).embed(images)
    on_keras = KerasEngine(pretrained_embedder(NETWORK)).embed(images)
    assert keras.config.floatx() == "float32"
    np.testing.assert_allclose(on_keras, lite, atol=1e-3)


def test_an_index_of_a_hundred_thousand_pictures_is_read_in_seconds(tmp_path: Path) -> None:
    digests = [bytes(row) for row in np.random.default_rng(0).integers(0, 256, (100_000, DIGEST_BYTES), np.uint8)]
    writer = FeatureShards(tmp_path)
    for first in range(0, len(digests), 512):
        part = digests[first : first + 512]
        writer.add(part, np.zeros((len(part), 2), np.float16))
    started = time.perf_counter()
    shards = FeatureShards(tmp_path)
    shards.refresh()
    assert shards.missing([*digests, bytes(DIGEST_BYTES)]) == [len(digests)]
    assert time.perf_counter() - started < 5
