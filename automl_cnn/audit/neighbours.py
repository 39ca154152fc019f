"""The images most like each one, as evidence for or against its label; never of its own group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_cnn.audit.ensemble import directions

NEIGHBOURS = 6
BLOCK = 512  # rows compared at a time
_OWN = -2.0  # below any similarity


def nearest_of_other_groups(
    embeddings: NDArray[np.floating], groups: NDArray[np.object_], count: int = NEIGHBOURS
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the most alike images, by cosine of the embeddings around their mean.

    Args:
        embeddings: float [n, d].
        groups: text [n].
        count: of neighbours at most.
    Returns:
        Rows int64 [n, count], most alike first, −1 where there are no more; similarities float32 [n, count], −1 to 1.
    """
    unit = directions(embeddings) if len(groups) else np.zeros((0, 1), np.float32)
    group_of = np.unique(groups.astype(str), return_inverse=True)[1]
    kept = min(count, len(unit))
    near, similarity = np.full((len(unit), count), -1), np.full((len(unit), count), np.float32(_OWN))
    for start in range(0, len(unit), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(unit)))
        alike = unit[rows] @ unit.T
        alike[group_of[rows][:, None] == group_of[None, :]] = _OWN
        best = np.argpartition(-alike, kept - 1, axis=1)[:, :kept]
        values = np.take_along_axis(alike, best, axis=1)
        order = np.lexsort((best, -np.round(values, 5)), axis=1)  # equals by row, so that every machine agrees
        near[rows, :kept] = np.take_along_axis(best, order, axis=1)
        similarity[rows, :kept] = np.take_along_axis(values, order, axis=1)
    near[similarity <= -1.5] = -1
    return near, similarity
