"""Copies of the same picture: the same file, the same pixels, nearly the same picture, or a crop or rotation of it.

A near hash in one of eight orientations, a near embedding, or a near small picture only proposes a pair. It is taken
when a second look confirms it: one picture is laid over the other, and what is their own is held against the set's
background, so that a set of much alike pictures is not one cluster. Recall and false pairs: docs/audit.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import DUPLICATES, NEAR_PAIRS
from automl_cnn.audit.clusters import Cluster, Link, cluster_links
from automl_cnn.audit.embeddings import unit_rows
from automl_cnn.audit.search import MOST_CANDIDATES, blocks, near_hashes, nearest
from automl_cnn.audit.second_look import SecondLook
from automl_cnn.audit.thumbnails import orientations, perceptual_hashes, shrunk
from automl_cnn.config import AuditParams
from automl_cnn.progress import Progress, silent

SAME_LOOK = 0.75  # a member stays in a cluster when what is its own is so similar to that of the cluster's centre
# A near embedding proposes a pair when it is this much nearer than the images around it, or embedding_similarity near.
EMBEDDING_RATIO = 0.45
_SMALL_NEIGHBOURS, _EMBEDDING_NEIGHBOURS = 3, 2  # that are looked at, an image
_EMBEDDING_BACKGROUND = 0.05  # the background of an embedding is its neighbour at this share of the set, from the tenth
_BACKGROUND_LEAST = 10
_REFERENCES = 1024
_HASHED_PX = 32
_WORDS = {
    "sha256": "the same bytes as", "pixels": "the same pixels as", "phash": "nearly the same picture as",
    "embedding": "a crop, rotation or edit of", "aligned": "a crop, rotation or edit of",
}  # fmt: skip
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Copies:
    """What `find_copies` found.

    Attributes:
        table: DUPLICATES: clusters of images that all look like their centre.
        between: NEAR_PAIRS: copies that no cluster holds together, because a chain of small changes was parted where it
            no longer looks like the centre. In different classes, or on two sides of a split, they matter all the same.
    """

    table: pd.DataFrame
    between: pd.DataFrame


def find_copies(
    images: pd.DataFrame,
    thumbnails: Bytes,
    embeddings: NDArray[np.floating],
    params: AuditParams,
    progress: Progress = silent,
) -> Copies:
    """Find clusters of copies, and the copies between them.

    Args:
        images: usable rows of the manifest; `excluded` (bool) where decisions were applied: such images are listed, but
            do not make a label conflict.
        thumbnails: uint8 [n, 64, 64] of `grey_thumbnails`.
        embeddings: float [n, d].
        params: phash_distance (bits of 64), embedding_similarity (cosine), index_above (images), seed,
            thresholds.blank_std_below: pictures without contrast are copies only when their pixels are equal.
        progress: told after every block; at the end of a step, of images that have
            more candidates than were compared.
    Returns:
        The DUPLICATES table holds the images of clusters of two or more, clusters with a label conflict first; the same
        whatever the order of the rows. `method` is sha256, pixels, phash, embedding or aligned (the 16-pixel pictures
        were near), by the closest relative in the cluster; `distance` to it: 0 for equal pixels, else 1 − similarity of
        what is their own. Beside the contract: `medoid` (bool), the centre that all members were held against, one a
        cluster; `reason`, the closest relative in words.
    """
    order = np.lexsort((images["image_id"].astype(str), images["sha256"].astype(str)))  # row numbers break ties
    images, thumbnails, embeddings = images.iloc[order], thumbnails[order], embeddings[order]
    exact = _equal(images["sha256"], "sha256") + _equal(images["pixel_sha"], "pixels")
    alone = _contrast(thumbnails) >= params.thresholds.blank_std_below
    alone[[link.second for link in exact]] = False
    rows = np.flatnonzero(alone)
    links, look = list(exact), None
    if len(rows) > 1:
        look = SecondLook(thumbnails[rows], params.seed)
        links += _near_links(rows, look, thumbnails[rows], embeddings[rows], params, progress)
    place = {row: number for number, row in enumerate(rows.tolist())}

    def same_look(centre: int, others: list[int]) -> NDArray[np.bool_]:
        if look is None or centre not in place:
            return np.ones(len(others), bool)
        first, second = np.full(len(others), place[centre]), np.array([place[other] for other in others])
        return look.similarity(first, second) >= SAME_LOOK

    clusters = cluster_links(links, same_look)
    return Copies(_table(images, clusters), between(images, links, clusters))


def between(images: pd.DataFrame, links: list[Link], clusters: list[Cluster]) -> pd.DataFrame:
    """Links whose ends no cluster holds together."""
    home = {row: number for number, cluster in enumerate(clusters) for row in cluster.links}
    ids = images["image_id"].astype(str).tolist()
    parted = [link for link in links if home.get(link.first, -1) != home.get(link.second, -2)]
    rows = sorted((*sorted((ids[link.first], ids[link.second])), link.distance) for link in parted)
    return pd.DataFrame(rows, columns=list(NEAR_PAIRS.columns)).astype(
        {"image_id": "str", "other_image_id": "str", "distance": "float64"}
    )


def _equal(values: pd.Series, method: str) -> list[Link]:
    """Links of every image to the first with the same value."""
    first: dict[str, int] = {}
    links = []
    for row, value in enumerate(values.tolist()):
        if value and first.setdefault(value, row) != row:
            links.append(Link(first[value], row, method, 0.0))
    return links


def _contrast(thumbnails: Bytes) -> Floats:
    return np.concatenate([np.empty(0, np.float32), *(
        thumbnails[block].std(axis=(1, 2), dtype=np.float32) for block in blocks(len(thumbnails))
    )])  # fmt: skip


def _near_links(
    rows: Rows, look: SecondLook, thumbnails: Bytes, embeddings: NDArray[np.floating], params: AuditParams,
    progress: Progress,
) -> list[Link]:  # fmt: skip
    """Links between copies whose pixels differ; `thumbnails` and `embeddings` are those of `rows`."""
    small, _ = nearest(look.small, _SMALL_NEIGHBOURS, params.index_above, params.seed, "small pictures", progress)
    proposed = {
        "phash": _near_in_hash(thumbnails, params, progress),
        "embedding": _near_in_embedding(embeddings, params, progress),
        "aligned": _pairs(small),
    }
    method: dict[tuple[int, int], str] = {}
    for name, pairs in proposed.items():
        for pair in pairs.tolist():
            method.setdefault((pair[0], pair[1]), name)
    if not method:
        return []
    first, second = np.array(sorted(method), np.int64).T
    similarity, confirmed = look.confirm(first, second, progress)
    found = dict(zip(zip(first[confirmed].tolist(), second[confirmed].tolist(), strict=True),
                     similarity[confirmed].tolist(), strict=True))  # fmt: skip
    crowded = sum(all((min(i, j), max(i, j)) in found for j in near) for i, near in enumerate(small.tolist()))
    if crowded and small.shape[1] == _SMALL_NEIGHBOURS:
        progress(
            "second look", len(first), len(first),
            f"{crowded:,} images are copies of all {_SMALL_NEIGHBOURS} nearest: more are reached through these",
        )  # fmt: skip
    return [
        Link(int(rows[i]), int(rows[j]), method[i, j], round(max(1 - alike, 0.0), 6)) for (i, j), alike in found.items()
    ]


def _near_in_hash(thumbnails: Bytes, params: AuditParams, progress: Progress) -> Rows:
    """Pairs [pairs, 2] within phash_distance in one of the eight orientations."""
    small = shrunk(thumbnails, _HASHED_PX)
    views = [perceptual_hashes(view) for view in orientations(small)]
    found = near_hashes(views[0], views, params.phash_distance, params.index_above, progress)
    if len(found.capped):
        progress(
            "hashes", len(small), len(small),
            f"{len(found.capped):,} images have more than {MOST_CANDIDATES} candidates: the nearest were compared",
        )  # fmt: skip
    return np.stack([found.first, found.second], axis=1)


def _near_in_embedding(embeddings: NDArray[np.floating], params: AuditParams, progress: Progress) -> Rows:
    """Pairs [pairs, 2] of nearest neighbours that are near, or far nearer than the background."""
    n = len(embeddings)
    raw = unit_rows(np.asarray(embeddings, np.float32))
    centred = unit_rows(raw - raw.mean(axis=0)) if n > 2 * _BACKGROUND_LEAST else raw
    rows, similarity = nearest(centred, _EMBEDDING_NEIGHBOURS, params.index_above, params.seed, "embeddings", progress)
    references = centred[np.sort(np.random.default_rng(params.seed).permutation(n)[:_REFERENCES])]
    background = np.concatenate([_kth_largest(centred[block] @ references.T, n) for block in blocks(n)])
    far = np.maximum(1 - np.maximum(background[:, None], background[rows]), 1e-3)
    cosine = np.stack([np.einsum("nd,nd->n", raw, raw[column]) for column in rows.T], axis=1)
    near = (1 - similarity <= EMBEDDING_RATIO * far) | (cosine >= params.embedding_similarity)
    return _pairs(np.where(near, rows, -1))


def _pairs(neighbours: Rows) -> Rows:
    """Neighbours [n, k], −1 for none, as pairs [pairs, 2], the smaller row first, each once."""
    first = np.repeat(np.arange(len(neighbours)), neighbours.shape[1])
    second = neighbours.ravel()
    pairs = np.stack([np.minimum(first, second), np.maximum(first, second)], axis=1)[second >= 0]
    return np.unique(pairs, axis=0)


def _kth_largest(similarity: Floats, n: int) -> Floats:
    """A row's value at the background's share of the references; 0 where the set is too small to have a background."""
    references = similarity.shape[1]
    k = max(round(_EMBEDDING_BACKGROUND * references), round(_BACKGROUND_LEAST * references / n))
    if references <= 2 * k:
        return np.zeros(len(similarity), np.float32)
    kth: Floats = np.partition(similarity, references - k, axis=1)[:, references - k]
    return np.maximum(kth, 0)


def _table(images: pd.DataFrame, clusters: list[Cluster]) -> pd.DataFrame:
    ids, paths, labels = (images[name].astype(str).tolist() for name in ("image_id", "path", "label"))
    excluded = images["excluded"].tolist() if "excluded" in images.columns else [False] * len(images)
    listed = []
    for cluster in clusters:
        members = sorted(cluster.links, key=lambda row: paths[row])
        conflict = len({labels[row] for row in members if not excluded[row]}) > 1
        listed.append((not conflict, paths[members[0]], members, cluster))
    rows = []
    for number, (agrees, _, members, cluster) in enumerate(sorted(listed, key=lambda one: one[:2]), start=1):
        for row in members:
            link = cluster.links[row]
            reason = f"{_WORDS[link.method]} {paths[link.second if row == link.first else link.first]}"
            rows.append((f"d{number:05d}", ids[row], paths[row], link.method, link.distance, not agrees,
                         row == cluster.centre, reason))  # fmt: skip
    frame = pd.DataFrame(rows, columns=[*DUPLICATES.columns, "medoid", "reason"])
    types = {"distance": "float64", "label_conflict": "bool", "medoid": "bool"}
    return frame.astype({name: types.get(name, "str") for name in frame.columns})
