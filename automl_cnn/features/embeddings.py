"""The file by which features reach audit and split, which know nothing of networks: `dvc repro features` writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from automl_cnn.artifacts import replacing, write_json
from automl_cnn.data.store import ImageStore
from automl_cnn.features.cache import FeatureCache
from automl_cnn.progress import Progress, silent


def write_embeddings(
    backbone: str, input_size_px: int, store: ImageStore, folder: Path, cache: Path,
    weights_dir: str | None = None, progress: Progress = silent, download: bool = False,
) -> int:  # fmt: skip
    """Write the features of every stored picture, computing only what the cache does not hold.

    Args:
        backbone: name in the registry.
        input_size_px: height and width the backbone is given.
        store: the images.
        folder: receives base.npy, float16 [n, d], rows as in the store, and features.json, which says of which store.
        cache: folder of the feature cache.
        weights_dir: where pretrained weights are looked for first.
        progress: told of every batch that is computed.
        download: whether Keras's file of weights may be fetched where no other is at hand.
    Returns:
        The number of feature vectors that were computed; 0 when everything came from the cache.
    Raises:
        WeightsError: no pretrained weights can be had.
    """
    features, rows = FeatureCache(cache), np.arange(len(store))
    computed = features.missing(backbone, input_size_px, store, rows, weights_dir=weights_dir, download=download)
    values = features.fetch(
        backbone, input_size_px, store, rows, weights_dir=weights_dir, progress=progress, download=download
    )
    with replacing(folder / "base.npy") as temporary, temporary.open("wb") as file:
        np.save(file, values)
    write_json(folder / "features.json", {"store": store.digest, "rows": len(store)})
    return computed
