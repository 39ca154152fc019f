"""Who is near whom: exact and block by block while the set is small, through an index (faiss) beyond that.

No n × n matrix is built: a block of 512 rows is the most that is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.audit.thumbnails import HASH_BITS
from automl_cnn.progress import Progress, silent

MOST_CANDIDATES = 64  # pairs of hashes kept an image, the nearest first
_BLOCK_ROWS = 512
_PROBES = 32  # lists that a query looks into, of some 4 √n
_HASH_PARTS = 4  # two hashes with at most 7 other bits agree in one of four parts but for one bit
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class HashPairs:
    """Pairs of rows with near hashes.

    Attributes:
        first: int64 [pairs].
        second: int64 [pairs], each larger than its first.
        capped: rows of which more than 64 later ones are near: only the nearest 64 are among the pairs.
    """

    first: Rows
    second: Rows
    capped: Rows


def nearest(
    vectors: Floats, k: int, index_above: int, seed: int, label: str = "neighbours", progress: Progress = silent
) -> tuple[Rows, Floats]:
    """Find the k most similar other rows of every row.

    Args:
        vectors: float32 [n, d], of length 1.
        k: number of neighbours; fewer where the set is smaller.
        index_above: up to so many rows the search is exact, beyond that an inverted-file index looks into the lists
            that are nearest (its recall stands in docs/audit.md).
        seed: of the index.
        label: under which progress is reported.
        progress: told after every block.
    Returns:
        Rows, int64 [n, k], most similar first, −1 where the index found no more; cosine similarities, float32 [n, k].
    """
    n = len(vectors)
    k = min(k, n - 1)
    if k < 1:
        return np.empty((n, 0), np.int64), np.empty((n, 0), np.float32)
    index = _inverted_file(vectors, seed) if n > index_above else None
    rows, similarity = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    for block in blocks(n):
        itself = np.arange(block.start, block.stop)
        if index is not None:
            found, which = index.search(vectors[block], k + 1)
            found = np.where((which == itself[:, None]) | (which < 0), -2, found)
        else:
            found = vectors[block] @ vectors.T
            found[np.arange(len(found)), itself] = -2
            which = np.argpartition(-found, k - 1, axis=1)[:, :k]
            found = np.take_along_axis(found, which, axis=1)
        order = np.lexsort((which, -found))[:, :k]
        rows[block] = np.take_along_axis(which, order, axis=1)
        similarity[block] = np.take_along_axis(found, order, axis=1)
        progress(label, block.stop, n)
    rows[similarity <= -2] = -1
    return rows, similarity


def near_hashes(
    hashes: Floats, views: Sequence[Floats], radius: int, index_above: int, progress: Progress = silent
) -> HashPairs:
    """Find all pairs of rows of which one, in some orientation, has a hash near to the other's.

    Args:
        hashes: float32 [n, 64] of −1 and 1, of the pictures as they are.
        views: the same of the pictures turned and mirrored, the first as they are.
        radius: bits that may differ, 0 to 32.
        index_above: up to so many rows all hashes are compared, beyond that those which agree in one of four parts of
            16 bits but for radius / 4 bits: the same pairs.
        progress: told after every block.
    """
    n, firsts, seconds, capped = len(hashes), [], [], []
    index = _multi_hash(hashes, radius) if n > index_above else None
    for block in blocks(n):
        itself = np.arange(block.start, block.stop)
        if index is not None:
            first, second, apart = _from_index(index, [view[block] for view in views], radius)
            later = second > first + block.start
            first, second, apart = first[later], second[later], apart[later]
        else:
            bits = views[0][block] @ hashes[block.start :].T
            for view in views[1:]:  # one at a time: together they would take 1.6 GB at 50,000 images
                np.maximum(bits, view[block] @ hashes[block.start :].T, out=bits)
            later = np.arange(block.start, n)[None, :] > itself[:, None]
            first, second = np.nonzero(later & (bits >= HASH_BITS - 2 * radius))
            apart = ((HASH_BITS - bits[first, second]) / 2).astype(np.float32)
            second = second + block.start
        order = np.lexsort((second, apart, first))
        first, second = first[order], second[order]
        number = np.arange(len(first)) - np.searchsorted(first, first)  # of the pair, within its first row
        capped.append(np.unique(first[number >= MOST_CANDIDATES]) + block.start)
        firsts.append(first[number < MOST_CANDIDATES] + block.start)
        seconds.append(second[number < MOST_CANDIDATES])
        progress("hashes", block.stop, n)
    return HashPairs(*(np.concatenate(parts).astype(np.int64) for parts in (firsts, seconds, capped)))


def blocks(n: int, size: int = _BLOCK_ROWS) -> list[slice]:
    """The rows in blocks of so many, 512 by default."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _inverted_file(vectors: Floats, seed: int) -> Any:
    import faiss  # only sets of this size need it

    n, width = vectors.shape
    lists = max(1, min(round(4 * n**0.5), n // 39))  # 39 a list is what faiss wants to learn from
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.max_points_per_centroid, index.cp.niter = seed, 64, 10
    vectors = np.ascontiguousarray(vectors, np.float32)
    index.train(vectors)
    index.add(vectors)
    index.nprobe = min(_PROBES, lists)
    return index


def _multi_hash(hashes: Floats, radius: int) -> Any:
    import faiss

    flips = radius // _HASH_PARTS
    index: Any
    if flips > 2:  # more than 137 places to look into a part: comparing all is quicker
        index = faiss.IndexBinaryFlat(HASH_BITS)
    else:
        index = faiss.IndexBinaryMultiHash(HASH_BITS, _HASH_PARTS, HASH_BITS // _HASH_PARTS)
        index.nflip = flips
    index.add(np.packbits(hashes > 0, axis=1))
    return index


def _from_index(index: Any, views: Sequence[Floats], radius: int) -> tuple[Rows, Rows, Floats]:
    """First (within the block), second and bits that differ, each pair once, by its nearest orientation."""
    found = [index.range_search(np.packbits(view > 0, axis=1), radius + 1) for view in views]
    first = np.concatenate([np.repeat(np.arange(len(limits) - 1), np.diff(limits).astype(np.int64))
                            for limits, _, _ in found])  # fmt: skip
    apart = np.concatenate([distance for _, distance, _ in found]).astype(np.float32)
    second = np.concatenate([rows for _, _, rows in found]).astype(np.int64)
    order = np.lexsort((apart, second, first))
    first, second, apart = first[order], second[order], apart[order]
    new = np.ones(len(first), bool)
    new[1:] = (np.diff(first) != 0) | (np.diff(second) != 0)
    return first[new], second[new], apart[new]
