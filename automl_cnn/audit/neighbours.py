"""The images most like each one, as evidence for or against its label; never of its own group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_cnn.audit.ensemble import directions
from automl_cnn.audit.search import blocks, nearest
from automl_cnn.progress import Progress, silent

NEIGHBOURS = 6
_CANDIDATES = 64  # that an index is asked for; those of the own group are among them
_OWN = -2.0  # below any similarity


def nearest_of_other_groups(
    embeddings: NDArray[np.floating],
    groups: NDArray[np.object_],
    count: int = NEIGHBOURS,
    index_above: int = 50_000,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the most alike images, by cosine of the embeddings around their mean.

    Args:
        embeddings: float [n, d].
        groups: text [n].
        count: of neighbours at most.
        index_above: up to so many images all are compared; beyond that the nearest 64 that an index finds, so that an
            image of a very large group may get fewer neighbours.
        seed: of the index.
        progress: told after every block.
    Returns:
        Rows int64 [n, count], most alike first, −1 where there are no more; similarities float32 [n, count], −1 to 1.
    """
    n = len(groups)
    unit = directions(embeddings) if n else np.zeros((0, 1), np.float32)
    group_of = np.unique(groups.astype(str), return_inverse=True)[1]
    indexed = nearest(unit, _CANDIDATES, index_above, seed, "neighbours", progress) if n > max(1, index_above) else None
    near, similarity = np.full((n, count), -1), np.full((n, count), np.float32(_OWN))
    for block in blocks(n):
        if indexed is None:
            others, alike = np.arange(n)[None, :], unit[block] @ unit.T
        else:
            others, alike = indexed[0][block], indexed[1][block]
        alike[group_of[block][:, None] == group_of[others]] = _OWN
        kept = min(count, others.shape[1])
        best = np.argpartition(-alike, kept - 1, axis=1)[:, :kept]
        values, rows = np.take_along_axis(alike, best, axis=1), np.take_along_axis(others, best, axis=1)
        order = np.lexsort((rows, -np.round(values, 5)), axis=1)  # equals by row, so that every machine agrees
        near[block, :kept] = np.take_along_axis(rows, order, axis=1)
        similarity[block, :kept] = np.take_along_axis(values, order, axis=1)
        if indexed is None:
            progress("neighbours", block.stop, n)
    near[similarity <= -1.5] = -1
    return near, similarity
