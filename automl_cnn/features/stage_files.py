"""The features that pass between stages, as files: `dvc repro features` writes, audit, split and search read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing, write_json
from automl_cnn.data.augment import first_views
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import ArtifactError
from automl_cnn.features.cache import FeatureCache
from automl_cnn.progress import Progress, silent


@dataclass(frozen=True)
class FeatureRequest:
    """Which features of the store are wanted.

    Attributes:
        backbone: name in the registry.
        input_size_px: height and width the backbone is given.
        augmentations: policies whose first views are wanted beside the images themselves.
    """

    backbone: str
    input_size_px: int
    augmentations: tuple[str, ...] = ()

    def views(self) -> list[tuple[str, int]]:
        """(policy, view) of every file, the images themselves first."""
        drawn = [(policy, view) for policy in self.augmentations for view in range(first_views(policy))]
        return [("none", 0), *drawn]


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
        cache: folder of the feature cache.
        weights_dir: where pretrained weights are looked for first.
        progress: told of every batch that is computed.
    Returns:
        The number of feature vectors that were computed; 0 when everything came from the cache.
    Raises:
        WeightsError: no pretrained weights can be had.
    """
    features, rows, computed = FeatureCache(cache), np.arange(len(store)), 0
    wanted = (request.backbone, request.input_size_px, store, rows)
    for policy, view in request.views():
        computed += features.missing(*wanted, policy, view, weights_dir=weights_dir)
        values = features.fetch(*wanted, policy, view, weights_dir=weights_dir, progress=progress)
        with replacing(folder / _file_name(policy, view)) as temporary, temporary.open("wb") as file:
            np.save(file, values)
    write_json(folder / "features.json", {"store": store.digest, "rows": len(store)})
    return computed


def read_features(folder: Path, policy: str = "none", view: int = 0) -> NDArray[np.float16]:
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
    """The images' own features and those of the first views of a policy, one array [n, d] each, the images first."""
    return [read_features(folder), *(read_features(folder, policy, view) for view in range(first_views(policy)))]


def _file_name(policy: str, view: int) -> str:
    return "base.npy" if policy == "none" else f"{policy}-{view}.npy"
