"""Features of a whole image store, computed once for a content: weights, preprocessing and pixels."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing, write_json
from automl_cnn.data.augment import AUGMENT_VERSION, cached_view, first_views
from automl_cnn.data.split_images import load_images
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import ArtifactError
from automl_cnn.features.engine import FeatureEngine, build_engine
from automl_cnn.progress import Progress, silent

CHUNK = 64


@dataclass(frozen=True)
class FeatureRequest:
    """Which features of the store are wanted.

    Attributes:
        backbone: name in the registry.
        input_size_px: height and width the backbone is given.
        augmentations: policies whose cached views are wanted beside the images themselves.
    """

    backbone: str
    input_size_px: int
    augmentations: tuple[str, ...] = ()

    def views(self) -> list[tuple[str, int]]:
        """(policy, view) of every file beside base.npy."""
        return [(policy, view) for policy in self.augmentations for view in range(first_views(policy))]


def write_features(
    request: FeatureRequest,
    store: ImageStore,
    folder: Path,
    cache: Path,
    weights_dir: str | None = None,
    progress: Progress = silent,
) -> int:
    """Put the features of a request under `folder`, computing only what the cache does not hold.

    Args:
        request: what is wanted.
        store: the images; row order is kept.
        folder: receives base.npy and <policy>-<view>.npy, float16 [n, d], and features.json.
        cache: folder that keeps engines and features by content.
        weights_dir: where pretrained weights are looked for first.
        progress: told of every chunk.
    Returns:
        The number of images that were computed; 0 when everything came from the cache.
    Raises:
        WeightsError: no pretrained weights can be had.
    """
    path, key = build_engine(request.backbone, request.input_size_px, cache / "engines", weights_dir)
    engine: FeatureEngine | None = None
    computed = 0
    folder.mkdir(parents=True, exist_ok=True)
    for policy, view in [("base", 0), *request.views()]:
        content = f"{key}|{store.digest}|{policy}-{view}|v{AUGMENT_VERSION}"
        cached = cache / "features" / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.npy"
        if not cached.exists():
            engine = engine or FeatureEngine(path)
            name = f"{request.backbone} {'images' if policy == 'base' else f'{policy} view {view + 1}'}"
            values = _embed_store(engine, store, request.input_size_px, policy, view, name, progress)
            with replacing(cached) as temporary, temporary.open("wb") as file:
                np.save(file, values)
            computed += len(store)
        with replacing(folder / _file_name(policy, view)) as temporary:
            shutil.copyfile(cached, temporary)
    write_json(folder / "features.json", {"engine": key, "store": store.digest, "rows": len(store)})
    return computed


def read_features(folder: Path, policy: str = "base", view: int = 0) -> NDArray[np.float16]:
    """Read one file that `write_features` wrote.

    Returns:
        float16 [n, d], memory-mapped; rows as in the store.
    Raises:
        ArtifactError: it is missing or damaged.
    """
    path = folder / _file_name(policy, view)
    try:
        values: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            str(path), expected="features", received=str(error), action="Run `dvc repro features`."
        ) from None
    return values


def read_views(folder: Path, policy: str) -> list[NDArray[np.float16]]:
    """The images' own features and those of every cached view of a policy, one array [n, d] each, the images first."""
    return [read_features(folder), *(read_features(folder, policy, view) for view in range(first_views(policy)))]


def _file_name(policy: str, view: int) -> str:
    return "base.npy" if policy == "base" else f"{policy}-{view}.npy"


def _embed_store(
    engine: FeatureEngine, store: ImageStore, size_px: int, policy: str, view: int, name: str, progress: Progress
) -> NDArray[np.float16]:
    """Features of every row; the next chunk is read and resized while this one is computed."""

    def load(start: int) -> NDArray[np.uint8]:
        rows = np.arange(start, min(start + CHUNK, len(store)))
        images = load_images(store, rows, size_px)
        if policy == "base":
            return images
        return np.stack([cached_view(pixels, policy, view, int(row)) for pixels, row in zip(images, rows, strict=True)])

    starts = range(0, len(store), CHUNK)
    parts = []
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(load, 0)
        for start in starts:
            images = ahead.result()
            if start + CHUNK < len(store):
                ahead = pool.submit(load, start + CHUNK)
            parts.append(engine.embed(images).astype(np.float16))
            progress(name, min(start + CHUNK, len(store)), len(store))
    return np.concatenate(parts)
