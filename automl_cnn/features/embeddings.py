"""The file by which features reach audit and split, which know nothing of networks: `dvc repro features` writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from automl_cnn.artifacts import replacing, write_json
from automl_cnn.data.store import ImageStore
from automl_cnn.features.cache import FeatureCache
from automl_cnn.features.frozen import FrozenNetwork
from automl_cnn.progress import Progress, silent


def write_embeddings(
    network: FrozenNetwork, store: ImageStore, folder: Path, cache: Path, progress: Progress = silent
) -> int:
    """Write the features of every stored picture, computing only what the cache does not hold.

    Args:
        network: what computes them.
        store: the images.
        folder: receives base.npy, float16 [n, d], rows as in the store, and features.json, which says of which store.
        cache: folder of the feature cache.
        progress: told of every batch that is computed.
    Returns:
        The number of feature vectors that were computed; 0 when everything came from the cache.
    Raises:
        WeightsError: no pretrained weights can be had.
    """
    features, rows = FeatureCache(cache), np.arange(len(store))
    computed = features.missing(network, store, rows)
    values = features.fetch(network, store, rows, progress=progress)
    with replacing(folder / "base.npy") as temporary, temporary.open("wb") as file:
        np.save(file, values)
    write_json(folder / "features.json", {"store": store.digest, "rows": len(store)})
    return computed
