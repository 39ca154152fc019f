"""How fast do images become features? python benchmarks/features.py

Both sides compute the pooled features of the same images with the same weights, in alternation, ROUNDS times; a ratio
is the median over the rounds. Clothing where it is there, else ELPV from the package elpv-dataset; EfficientNet-Lite0
at 224 px. The first part takes about six minutes on two cores.

speed    ours from the store and ours from the files (decode pool), against Keras's predict fed by
         image_dataset_from_directory (at least 3 times) and against a bare LiteRT loop over pixels in memory or over
         files (at least 85 %). Keras runs without XLA, with which it is several times slower here.
networks the same for every network whose weights are at hand, pixels in memory.
loop     what bounds the loop: images a batch, and one network on all cores or one network a core; read and shrunk from
         the store to 160 px, which costs most. The engine has what is fastest.
cache    what 1,000 more images cost; the index of 100,000 images.
augment  images a second of one core, every augmentation policy.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import Result, Target, alternate, parser
from numpy.typing import NDArray
from PIL import Image

from automl_cnn.data.augment import POLICIES, augment
from automl_cnn.data.decode_pool import DecodeSettings, available_cpus, decode_files
from automl_cnn.data.samples import write_elpv
from automl_cnn.data.split_images import load_images
from automl_cnn.data.store import ImageStore, StoreWriter
from automl_cnn.features.cache import FeatureCache
from automl_cnn.features.embed import embed_rows
from automl_cnn.features.engine import FeatureEngine, build_engine, open_engine, pretrained_embedder, to_litert
from automl_cnn.features.frozen import FrozenNetwork
from automl_cnn.features.shards import DIGEST_BYTES, FeatureShards
from automl_cnn.litert import LiteModel
from automl_cnn.models.pretrained import available
from automl_cnn.models.registry import BACKBONES

BACKBONE, SIZE_PX, SEED = "efficientnet-lite0", 224, 1
ROUNDS, NETWORK_ROUNDS = 5, 3
TIMES_PREDICT, SHARE_OF_BARE = 3.0, 0.85
LOOP_PX, BATCHES = 160, (1, 4, 8, 16, 32)
PARTS = ("speed", "networks", "loop", "cache", "augment")
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Images:
    """The same images as files and as a store.

    Attributes:
        root: folder that the paths start from; nothing but these files is in it.
        paths: relative, in the order of the store's rows.
        store: decoded as ingest does it, SIZE_PX.
    """

    root: Path
    paths: list[str]
    store: ImageStore

    @property
    def rows(self) -> NDArray[np.int64]:
        return np.arange(len(self.store))


def main() -> None:
    command = parser(__doc__, PARTS)
    command.add_argument("--images", type=int, default=1024, help="how many images of the set")
    command.add_argument("--weights", help="a folder of more weights, as search.weights_dir")
    arguments = command.parse_args()
    settings = {"seed": SEED, "backbone": BACKBONE, "input_size_px": SIZE_PX, "images": arguments.images,
                "rounds": ROUNDS, "cores": available_cpus()}  # fmt: skip
    result = Result("features", settings)
    with tempfile.TemporaryDirectory() as scratch:
        images = gather(arguments.data / "clothing" / "images", Path(scratch), arguments.images)
        settings["images"] = len(images.paths)
        for part in arguments.parts:
            if part == "speed":
                measure_speed(result, images, Path(scratch))
            elif part == "networks":
                measure_networks(result, images, Path(scratch), arguments.weights)
            elif part == "loop":
                measure_loop(result, images)
            elif part == "cache":
                measure_cache(result, images, Path(scratch))
            else:
                measure_augment(result, images)
    result.write(arguments.out)


def gather(clothing: Path, scratch: Path, count: int) -> Images:
    """Copy images, evenly spaced over the set, and decode them into a store."""
    if not clothing.is_dir():
        clothing = scratch / "cells"
        write_elpv(clothing)
    files = sorted(path for path in clothing.rglob("*") if path.is_file())
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(count, len(files))).astype(int))]
    root = scratch / "files"
    for path in chosen:
        target = root / path.relative_to(clothing)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    paths = [str(path.relative_to(clothing)) for path in chosen]
    (scratch / "images").mkdir()
    with StoreWriter(scratch / "images", SIZE_PX, "letterbox") as writer:
        for facts, pixels in decode_files(root, paths, _decoding()):
            assert pixels is not None, facts
            writer.add(pixels)
    return Images(root, paths, ImageStore.open(scratch / "images"))


def measure_speed(result: Result, images: Images, scratch: Path) -> None:
    """From the store and from files, against predict and a bare loop."""
    cache = FeatureCache(scratch / "cache")
    network = FrozenNetwork(BACKBONE, SIZE_PX)
    path = build_engine(network, scratch / "cache" / "engines")
    engine = open_engine(network, scratch / "cache" / "engines")
    pixels = images.store.read(images.rows)
    bare = LiteModel(path, threads=available_cpus())
    keras = _keras_model(BACKBONE)

    def ours_from_store() -> Features:
        shutil.rmtree(scratch / "cache" / "features", ignore_errors=True)
        return cache.fetch(network, images.store, images.rows).astype(np.float32)

    def predict_from_files() -> Features:
        dataset = _image_dataset(images.root)
        return np.asarray(keras.predict(dataset, verbose=0))

    ways: dict[str, Callable[[], Features]] = {
        "ours, store → features (cache written)": ours_from_store,
        "ours, files → features (decode pool)": lambda: files_to_features(engine, images),
        "Keras predict, image_dataset_from_directory": predict_from_files,
        "Keras predict, pixels in memory": lambda: np.asarray(keras.predict(pixels, batch_size=32, verbose=0)),
        "bare LiteRT loop, pixels in memory": lambda: _bare_loop(bare, pixels),
        "bare LiteRT loop, files read by Pillow": lambda: _bare_loop(bare, _open_each(images)),
    }
    speeds, features = _speeds(ways, len(images.paths), ROUNDS)
    store, files, predict, predict_memory, loop, loop_files = (speeds[name] for name in ways)
    result.table(
        f"{BACKBONE} at {SIZE_PX} px, {len(images.paths)} images, median of {ROUNDS} rounds",
        ("way", "images/s", "times predict from files", "of the bare loop in memory"),
        [(name, statistics.median(speeds[name]), ratio(speeds[name], predict), ratio(speeds[name], loop))
         for name in ways],
    )  # fmt: skip
    first, other = features["ours, store → features (cache written)"], features["Keras predict, pixels in memory"]
    print(f"largest difference from Keras's features: {np.abs(first - other).max():.4f} (float16 keeps 3 digits)")
    result.targets += [
        Target("store → features, times predict", ratio(store, predict), at_least=TIMES_PREDICT),
        Target("files → features, times predict", ratio(files, predict), at_least=TIMES_PREDICT),
        Target("store → features, of a bare loop in memory", ratio(store, loop), at_least=SHARE_OF_BARE),
        Target("files → features, of a bare loop over files", ratio(files, loop_files), at_least=SHARE_OF_BARE),
        Target("store → features, times predict in memory", ratio(store, predict_memory), at_least=TIMES_PREDICT),
    ]


def measure_networks(result: Result, images: Images, scratch: Path, weights_dir: str | None) -> None:
    """Every network whose weights are at hand: ours, predict, a bare loop; pixels already decoded."""
    names = [name for name, backbone in BACKBONES.items() if backbone.pretrained]
    at_hand, _ = available(names, weights_dir)
    few = images.rows[:256]
    pixels = images.store.read(few)
    rows = []
    for name in at_hand:
        cache, folder = FeatureCache(scratch / name), scratch / name
        network = FrozenNetwork(name, SIZE_PX, weights_dir=weights_dir)
        path = build_engine(network, folder / "engines")
        bare, keras = LiteModel(path, threads=available_cpus()), _keras_model(name, weights_dir)

        def ours(cache: FeatureCache = cache, folder: Path = folder, network: FrozenNetwork = network) -> Features:
            shutil.rmtree(folder / "features", ignore_errors=True)
            return cache.fetch(network, images.store, few).astype(np.float32)

        ways: dict[str, Callable[[], Features]] = {
            "ours": ours,
            "predict": lambda keras=keras: np.asarray(keras.predict(pixels, batch_size=32, verbose=0)),
            "bare": lambda bare=bare: _bare_loop(bare, pixels),
        }
        speeds, _ = _speeds(ways, len(few), NETWORK_ROUNDS)
        rows.append((
            name, *(statistics.median(speeds[way]) for way in ways),
            ratio(speeds["ours"], speeds["predict"]), ratio(speeds["ours"], speeds["bare"]),
        ))  # fmt: skip
        shutil.rmtree(folder)
    result.table(
        f"other networks at {SIZE_PX} px, {len(few)} decoded images, median of {NETWORK_ROUNDS} rounds, images/s",
        ("network", "ours", "predict", "bare loop", "times predict", "of the bare loop"), rows,
    )  # fmt: skip


def measure_loop(result: Result, images: Images) -> None:
    """Batch sizes, one network on all cores or several on one each, with and without reading the store."""
    model = pretrained_embedder(FrozenNetwork(BACKBONE, LOOP_PX))
    rows, cores = images.rows[:256], available_cpus()
    pixels = load_images(images.store, rows, LOOP_PX)
    ways: dict[str, Callable[[], Features]] = {}
    for batch in BATCHES:
        program = to_litert(model, batch)
        for lanes in sorted({1, cores}):
            engine = FeatureEngine(program, cores, lanes)
            ways[f"{batch} a batch, {lanes} x {cores // lanes} threads, from the store"] = partial(
                _stored, engine, images, rows
            )
        bare = LiteModel(program, cores)
        ways[f"{batch} a batch, {cores} threads, pixels in memory"] = partial(_bare_loop, bare, pixels)
    speeds, _ = _speeds(ways, len(rows), ROUNDS)
    best = max(speeds, key=lambda name: statistics.median(speeds[name]))
    result.table(
        f"the loop, {BACKBONE} at {LOOP_PX} px, {len(rows)} images, median of {ROUNDS} rounds",
        ("how", "images/s", "of the best"),
        [(name, statistics.median(speeds[name]), ratio(speeds[name], speeds[best])) for name in ways],
    )  # fmt: skip


def _stored(engine: FeatureEngine, images: Images, rows: NDArray[np.int64]) -> Features:
    return np.concatenate(list(embed_rows(engine, images.store, rows, LOOP_PX)))


def measure_cache(result: Result, images: Images, scratch: Path) -> None:
    """Features again, features with a tenth more images, and the index of a large cache."""
    folder = scratch / "kept"
    old = images.rows[: len(images.rows) * 9 // 10]
    build_engine(FrozenNetwork(BACKBONE, 96), folder / "engines")
    rows = []
    for words, wanted in (
        (f"{len(old)} images, none known", old),
        (f"{len(images.rows) - len(old)} more beside them", images.rows),
        ("all of them again", images.rows),
    ):
        cache = FeatureCache(folder)
        computed = cache.missing(FrozenNetwork(BACKBONE, 96), images.store, wanted)
        rows.append(
            (words, computed, _seconds(lambda c=cache, w=wanted: c.fetch(FrozenNetwork(BACKBONE, 96), images.store, w)))
        )
    rng, writer = np.random.default_rng(SEED), FeatureShards(scratch / "large")
    digests = [bytes(row) for row in rng.integers(0, 256, (100_000, DIGEST_BYTES), np.uint8)]
    for start in range(0, len(digests), 512):
        part = digests[start : start + 512]
        writer.add(part, np.zeros((len(part), 1280), np.float16))
    large = FeatureShards(scratch / "large")
    rows.append(("index of 100,000 images read", 0, _seconds(large.refresh)))
    some = [digests[i] for i in rng.permutation(len(digests))[:1000]]
    rows.append(("1,000 of them read, anywhere", 0, _seconds(lambda: large.read(some))))
    rows.append(("all of them read", 0, _seconds(lambda: large.read(digests))))
    result.table(f"the cache, {BACKBONE} at 96 px", ("what", "features computed", "seconds"), rows)


def measure_augment(result: Result, images: Images) -> None:
    """Every policy on one thread, at the size the network is given."""
    pixels = images.store.read(images.rows[:128])
    rows = []
    for policy in POLICIES:
        rng = np.random.default_rng(SEED)
        taken = []
        for _ in range(ROUNDS):
            started = time.thread_time()
            for image in pixels:
                augment(image, policy, rng)
            taken.append(time.thread_time() - started)
        rows.append((policy, round(len(pixels) / statistics.median(taken)), POLICIES[policy].description))
    result.table(f"augmentation at {SIZE_PX} px, one thread, processor time", ("policy", "images/s", "what"), rows)


def files_to_features(engine: Any, images: Images) -> Features:
    """Decode in processes, compute in threads, both at once; as many batches wait as threads are busy."""
    parts: list[Features] = []
    waiting: deque[Future[Features]] = deque()
    with ThreadPoolExecutor(engine.lanes) as pool:
        for batch in _batches(decode_files(images.root, images.paths, _decoding()), engine.batch):
            waiting.append(pool.submit(engine.embed, batch))
            if len(waiting) > 2 * engine.lanes:
                parts.append(waiting.popleft().result())
        parts += [future.result() for future in waiting]
    return np.concatenate(parts)


def _speeds(
    ways: dict[str, Callable[[], Features]], images: int, rounds: int
) -> tuple[dict[str, list[float]], dict[str, Features]]:
    """Images a second of each round, and the features."""
    taken, features = alternate(ways, rounds)
    return {name: [images / seconds for seconds in taken[name]] for name in ways}, features


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median of the ratios of the rounds."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _decoding() -> DecodeSettings:
    return DecodeSettings(SIZE_PX, "letterbox", 100)


def _batches(decoded: Iterator[Any], size: int) -> Iterator[NDArray[np.uint8]]:
    part = []
    for _, pixels in decoded:
        part.append(pixels)
        if len(part) == size:
            yield np.stack(part)
            part = []
    if part:
        yield np.stack(part)


def _bare_loop(model: LiteModel, pictures: Iterable[NDArray[np.uint8]]) -> Features:
    """What one writes with LiteRT alone: fill a batch, run it."""
    parts, size = [], model.input_shape[0]
    batch, filled = np.zeros(model.input_shape, np.uint8), 0
    for picture in pictures:
        batch[filled] = picture
        filled += 1
        if filled == size:
            parts.append(model.run(batch))
            filled = 0
    if filled:
        parts.append(model.run(batch)[:filled])
    return np.concatenate(parts)


def _open_each(images: Images) -> Iterator[NDArray[np.uint8]]:
    for path in images.paths:
        with Image.open(images.root / path) as image:
            yield np.asarray(image.convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR))


def _keras_model(backbone: str, weights_dir: str | None = None) -> Any:
    model = pretrained_embedder(FrozenNetwork(backbone, SIZE_PX, weights_dir=weights_dir))
    model.jit_compile = False
    return model


def _image_dataset(root: Path) -> Any:
    import keras
    import tensorflow as tf

    dataset = keras.utils.image_dataset_from_directory(
        root, labels=None, image_size=(SIZE_PX, SIZE_PX), batch_size=32, shuffle=False, verbose=False
    )
    return dataset.prefetch(tf.data.AUTOTUNE)


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
