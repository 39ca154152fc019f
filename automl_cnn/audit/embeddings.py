"""Embeddings of one or several backbones, brought together for the audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import read_json
from automl_cnn.errors import ArtifactError


def join_embeddings(paths: Sequence[Path], usable: pd.DataFrame, store_digest: str = "") -> NDArray[np.float32]:
    """Read embeddings and put them side by side, each backbone's scaled to length 1 so that all count alike.

    Args:
        paths: .npy files, float [stored images, d], in the order of the image store.
        usable: manifest rows with status ok; `store_row` says which embedding is theirs.
        store_digest: of the image store that they must be of, as features.json beside them says; "" to believe it.
    Returns:
        float32 [n, sum of d], in the order of `usable`.
    Raises:
        ArtifactError: a file is missing, damaged, or belongs to another image store.
    """
    rows = usable["store_row"].to_numpy(np.int64)
    parts = []
    for path in paths:
        try:
            stored = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise ArtifactError(
                str(path), expected="embeddings", received=str(error), action="Run `dvc repro features`."
            ) from None
        if store_digest and read_json(path.with_name("features.json")).get("store") != store_digest:
            raise ArtifactError(
                str(path), expected="embeddings of the images as they are now", received="those of other images",
                action="Run `dvc repro features`.",
            )  # fmt: skip
        if stored.ndim != 2 or (len(rows) and rows.max() >= len(stored)):
            raise ArtifactError(
                str(path), expected=f"a row for each of {len(rows):,} images", received=f"an array of {stored.shape}",
                action="Run `dvc repro features`.",
            )  # fmt: skip
        part = stored[rows].astype(np.float32)
        parts.append(unit_rows(part))
    return np.concatenate(parts, axis=1)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1, so that a product is a cosine; rows of zeros stay.

    Args:
        vectors: float32 [n, d].
    Returns:
        float32 [n, d].
    """
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return unit
