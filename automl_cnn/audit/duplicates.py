"""Copies of the same picture: the same file, the same pixels, nearly the same picture, or a crop or rotation of it.

A perceptual hash or an embedding only proposes a pair; it is taken when a second look confirms it, and that look is
measured against the set's own background, so that a set of much alike pictures is not one cluster. Measured with eight
kinds of copies of 60 images of clothing, solar cells (ELPV) and magnetic tiles: JPEG, half-size, grey, mirrored and
turned copies are found at .98 to 1.00, brighter ones at .92 to 1.00; crops to 90 % and rotations by 5° at .7 on
clothing and not on the other two, whose pictures align with each other as well as with their crops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import DUPLICATES
from automl_cnn.audit.align import aligned_similarity
from automl_cnn.audit.clusters import Link, cluster_links
from automl_cnn.audit.thumbnails import HASH_BITS, SetLook, coarse, orientations, perceptual_hashes
from automl_cnn.config import AuditParams
from automl_cnn.progress import Progress, silent

# A pair is a copy when its own content is this similar …
OWN_SIMILARITY = 0.8
SAME_LOOK = 0.5  # … and a member stays in a cluster when it is this similar to the cluster's centre
# … and when it is this much nearer than the images around it: (1 − similarity) over (1 − that of the background).
PHASH_RATIO = 0.15
EMBEDDING_RATIO = 0.25
ALIGNED_SIMILARITY = 0.85
# Past this, pictures of the set that are not copies align as well as copies do: crops cannot be told apart.
ALIGNED_BACKGROUND = 0.95
BACKGROUND_SHARE = 0.05  # the background of an image is its neighbour at this share of the set
BACKGROUND_LEAST = 10
_REFERENCES = 1024  # images that stand for the set where a background is estimated
_NEAREST = 64  # candidates kept an image and search
_ALIGNED_PAIRS = 300  # candidates aligned at most, nearest first: some 10 s
_ALIGNED_REFERENCES = 60
_BLOCK_ROWS = 512
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class _Pairs:
    """Candidate pairs: rows first < second, and a distance by which nearer ones come first."""

    first: Rows
    second: Rows
    distance: Floats


def find_duplicates(
    images: pd.DataFrame,
    thumbnails: Floats,
    embeddings: NDArray[np.floating],
    params: AuditParams,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Find clusters of copies.

    Args:
        images: usable rows of the manifest; `excluded` (bool) where decisions were applied: such images are listed, but
            do not make a label conflict.
        thumbnails: float32 [n, 64, 64] of `grey_thumbnails`.
        embeddings: float [n, d].
        params: phash_distance (bits of 64), embedding_similarity (cosine), thresholds.blank_std_below: pictures without
            contrast are copies only when their pixels are equal; seed.
        progress: told after every block of images.
    Returns:
        DUPLICATES table, the images of clusters of two or more. `method` is sha256, pixels, phash or embedding, by the
        closest relative in the cluster; `distance` to it: 0 for equal pixels, else 1 − similarity of what is their own
        (phash) or cosine (embedding).
    """
    exact = _equal(images["sha256"], "sha256") + _equal(images["pixel_sha"], "pixels")
    copies = {link.second for link in exact}
    contrast = thumbnails.std(axis=(1, 2))
    alone = np.array([row not in copies for row in range(len(images))], bool)
    alone &= contrast >= params.thresholds.blank_std_below
    rows = np.flatnonzero(alone)
    links, look = list(exact), None
    if len(rows) > 1:
        small = coarse(thumbnails)
        look = SetLook.learn(small[rows], params.seed)
        hashed = _hash_links(rows, small, look, params, progress)
        known = {(link.first, link.second) for link in hashed}
        embedded = _embedding_links(rows, thumbnails, embeddings, known, params, progress)
        links += hashed + embedded

    def same_look(centre: int, others: list[int]) -> NDArray[np.bool_]:
        if look is None:
            return np.ones(len(others), bool)
        return _own_similarity(look, small, np.full(len(others), centre), np.array(others)) >= SAME_LOOK

    return _table(images, cluster_links(links, same_look))


def _equal(values: pd.Series, method: str) -> list[Link]:
    """Links of every image to the first with the same value."""
    first: dict[str, int] = {}
    links = []
    for row, value in enumerate(values.tolist()):
        if value and first.setdefault(value, row) != row:
            links.append(Link(first[value], row, method, 0.0))
    return links


def _hash_links(rows: Rows, small: Floats, look: SetLook, params: AuditParams, progress: Progress) -> list[Link]:
    base = perceptual_hashes(small[rows])
    turned = [perceptual_hashes(view) for view in orientations(small[rows])]

    def bits(block: slice) -> Floats:
        closest: Floats = np.min([(HASH_BITS - view[block] @ base.T) / 2 for view in turned], axis=0)
        return closest

    pairs = _near(len(rows), bits, params.phash_distance, "hashes", progress)
    first, second = rows[pairs.first], rows[pairs.second]
    own = _own_similarity(look, small, first, second)
    near = own >= OWN_SIMILARITY
    first, second, own = first[near], second[near], own[near]
    background = _own_background(look, small, rows, np.union1d(first, second), params.seed)
    confirmed = _ratio(own, background, first, second) <= PHASH_RATIO
    return _links(first[confirmed], second[confirmed], "phash", 1 - own[confirmed])


def _embedding_links(
    rows: Rows, thumbnails: Floats, embeddings: NDArray[np.floating], known: set[tuple[int, int]], params: AuditParams,
    progress: Progress,
) -> list[Link]:  # fmt: skip
    """Crops and small rotations: near in embedding, far nearer than the background, and alike once aligned."""
    raw = _unit(np.asarray(embeddings[rows], np.float32))
    pairs = _near(
        len(rows), lambda block: 1 - raw[block] @ raw.T, 1 - params.embedding_similarity, "embeddings", progress
    )
    centred = _unit(raw - raw.mean(axis=0)) if len(rows) > 2 * BACKGROUND_LEAST else raw
    references = _references(len(rows), params.seed)
    background = np.concatenate(
        [_kth_largest(centred[block] @ centred[references].T, len(rows)) for block in _blocks(len(rows))]
    )
    similarity = np.einsum("nd,nd->n", centred[pairs.first], centred[pairs.second])
    ratio = _ratio(similarity, background, pairs.first, pairs.second)
    new = np.array([(rows[i], rows[j]) not in known for i, j in zip(pairs.first, pairs.second, strict=True)], bool)
    chosen = np.flatnonzero((ratio <= EMBEDDING_RATIO) & new)
    chosen = chosen[np.argsort(ratio[chosen], kind="stable")][:_ALIGNED_PAIRS]
    if len(chosen) == 0:
        return []
    threshold = max(ALIGNED_SIMILARITY, _aligned_background(centred, thumbnails[rows], params.seed))
    if threshold > ALIGNED_BACKGROUND:
        return []
    first, second = rows[pairs.first[chosen]], rows[pairs.second[chosen]]
    aligned = aligned_similarity(thumbnails[first], thumbnails[second])
    confirmed = aligned >= threshold
    return _links(first[confirmed], second[confirmed], "embedding", pairs.distance[chosen][confirmed])


def _near(n: int, distances: Callable[[slice], Floats], limit: float, label: str, progress: Progress) -> _Pairs:
    """All pairs at most `limit` apart, at most the nearest 64 an image, searched block by block."""
    first, second, apart = [], [], []
    for block in _blocks(n):
        found = distances(block)
        found[np.arange(n)[None, :] <= np.arange(block.start, block.stop)[:, None]] = np.inf
        if n > _NEAREST:
            furthest = np.partition(found, _NEAREST - 1, axis=1)[:, _NEAREST - 1 : _NEAREST]
            found[found > furthest] = np.inf
        i, j = np.nonzero(found <= limit + 1e-6)
        first.append(i + block.start)
        second.append(j)
        apart.append(found[i, j])
        progress(label, block.stop, n)
    return _Pairs(np.concatenate(first), np.concatenate(second), np.concatenate(apart))


def _own_similarity(look: SetLook, small: Floats, first: Rows, second: Rows) -> Floats:
    """Similarity of what is their own, in the orientation that fits best: float32 [pairs]."""
    best = np.full(len(first), -1, np.float32)
    for block in _blocks(len(first)):
        still = look.own(small[second[block]])
        for view in orientations(small[first[block]]):
            np.maximum(best[block], np.einsum("nd,nd->n", look.own(view), still), out=best[block])
    return best


def _own_background(look: SetLook, small: Floats, rows: Rows, wanted: Rows, seed: int) -> Floats:
    """For each image of `wanted`, the similarity of its neighbour at 5 % of the set: float32, by row of `small`."""
    background = np.zeros(len(small), np.float32)
    references = look.own(small[rows[_references(len(rows), seed)]])
    for block in _blocks(len(wanted)):
        views = orientations(small[wanted[block]])
        similarity = np.max([look.own(view) @ references.T for view in views], axis=0)
        background[wanted[block]] = _kth_largest(similarity, len(rows))
    return background


def _references(n: int, seed: int) -> Rows:
    if n <= _REFERENCES:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, _REFERENCES, replace=False))


def _kth_largest(similarity: Floats, n: int) -> Floats:
    """A row's value at the background's share of the references; 0 where the set is too small to have a background."""
    references = similarity.shape[1]
    k = max(round(BACKGROUND_SHARE * references), round(BACKGROUND_LEAST * references / n))
    if references <= 2 * k:
        return np.zeros(len(similarity), np.float32)
    kth: Floats = np.partition(similarity, references - k, axis=1)[:, references - k]
    return np.maximum(kth, 0)


def _ratio(similarity: Floats, background: Floats, first: Rows, second: Rows) -> Floats:
    around = np.maximum(background[first], background[second])
    ratio: Floats = (1 - similarity) / np.maximum(1 - around, 1e-3)
    return ratio


def _aligned_background(centred: Floats, thumbnails: Floats, seed: int) -> float:
    """How well near neighbours that are hardly copies, the tenth of some images, align: the 99th percentile."""
    n = len(centred)
    if n <= 2 * BACKGROUND_LEAST:
        return 0.0
    chosen = np.random.default_rng(seed).choice(n, min(n, _ALIGNED_REFERENCES), replace=False)
    similarity = centred[chosen] @ centred.T
    neighbour = np.argpartition(-similarity, BACKGROUND_LEAST, axis=1)[:, BACKGROUND_LEAST]
    return float(np.quantile(aligned_similarity(thumbnails[chosen], thumbnails[neighbour]), 0.99))


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return unit


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK_ROWS, n)) for start in range(0, n, _BLOCK_ROWS)]


def _links(first: Rows, second: Rows, method: str, distance: Floats) -> list[Link]:
    listed = zip(first.tolist(), second.tolist(), np.clip(distance, 0, None).tolist(), strict=True)
    return [Link(i, j, method, round(d, 6)) for i, j, d in listed]


def _table(images: pd.DataFrame, clusters: list[dict[int, Link]]) -> pd.DataFrame:
    ids, paths, labels = (images[name].astype(str).tolist() for name in ("image_id", "path", "label"))
    excluded = images["excluded"].tolist() if "excluded" in images.columns else [False] * len(images)
    ordered = sorted(clusters, key=lambda members: min(paths[row] for row in members))
    rows = []
    for number, members in enumerate(ordered, start=1):
        conflict = len({labels[row] for row in members if not excluded[row]}) > 1
        for row in sorted(members, key=lambda member: paths[member]):
            link = members[row]
            rows.append((f"d{number:05d}", ids[row], paths[row], link.method, link.distance, conflict))
    frame = pd.DataFrame(rows, columns=list(DUPLICATES.columns))
    return frame.astype({
        name: {"distance": "float64", "label_conflict": "bool"}.get(name, "str") for name in DUPLICATES.columns
    })  # fmt: skip
