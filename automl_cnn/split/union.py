"""What images share, as a graph between images and shared things; its components are the groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import JOINS

_NAMES_SHOWN = 3
Texts = NDArray[np.object_]


@dataclass(frozen=True)
class Shared:
    """What one source says: which images hold which value.

    Attributes:
        source: its name, as reasons give it.
        rows: int64 [m], an image by its row; no image holds a value twice.
        codes: int64 [m], the value, 0 to len(values) − 1.
        values: text [k], for people; two codes may read the same.
    """

    source: str
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    values: Texts


def share_equal(source: str, values: pd.Series) -> Shared:
    """Images with equal values share them; a missing value is shared with nobody."""
    codes, names = pd.factorize(values)
    rows = np.flatnonzero(codes >= 0)
    return Shared(source, rows, codes[rows].astype(np.int64), np.asarray(names, dtype=object))


def join_table(shared: Sequence[Shared], ids: Texts) -> pd.DataFrame:
    """Every join with its reason: of the images that share a value, each is joined to the one with the smallest id.

    Args:
        shared: what the sources say.
        ids: image ids, text [n], unique.
    Returns:
        JOINS table in the order of sources, values and ids; it does not depend on the order of the images.
    """
    by_rank = _order(ids)
    rank = np.empty(len(ids), np.int64)
    rank[by_rank] = np.arange(len(ids))
    parts = []
    for one in shared:
        order = np.lexsort((rank[one.rows], one.codes))
        rows, codes = one.rows[order], one.codes[order]
        first = np.ones(len(rows), bool)
        first[1:] = codes[1:] != codes[:-1]
        centre = rows[np.flatnonzero(first)[np.cumsum(first) - 1]] if len(rows) else rows
        rows, centre, codes = rows[~first], centre[~first], codes[~first]
        _, place = np.unique(one.values.astype(str), return_inverse=True)
        order = np.lexsort((rank[rows], rank[centre], place.reshape(-1)[codes]))
        parts.append((rows[order], centre[order], one.source, one.values[codes[order]]))
    columns = {
        "image_id": np.concatenate([ids[rows] for rows, _, _, _ in parts] or [ids[:0]]),
        "other_image_id": np.concatenate([ids[centre] for _, centre, _, _ in parts] or [ids[:0]]),
        "source": np.repeat(
            np.array([source for _, _, source, _ in parts], dtype=object), [len(rows) for rows, _, _, _ in parts]
        ),
        "value": np.concatenate([values for _, _, _, values in parts] or [ids[:0]]),
    }
    return pd.DataFrame(columns, columns=list(JOINS.columns)).astype("str")


@dataclass(frozen=True)
class Links:
    """Images on one side, what they share on the other.

    Attributes:
        images: int64 [m], the row of an image.
        things: int64 [m], what it shares: 0 to len(sources) − 1.
        sources: text [things].
        values: text [things].
    """

    images: NDArray[np.int64]
    things: NDArray[np.int64]
    sources: Texts
    values: Texts

    def without(self, rows: NDArray[np.bool_]) -> Links:
        """The same graph where the images of a mask, bool [n], share nothing any more."""
        kept = ~rows[self.images]
        return Links(self.images[kept], self.things[kept], self.sources, self.values)


def link(shared: Sequence[Shared]) -> Links:
    """Put what several sources say into one graph."""
    sizes = [len(one.values) for one in shared]
    starts = np.cumsum([0, *sizes])
    return Links(
        np.concatenate([one.rows for one in shared]),
        np.concatenate([one.codes + start for one, start in zip(shared, starts, strict=False)]),
        np.repeat(np.array([one.source for one in shared], dtype=object), sizes),
        np.concatenate([one.values for one in shared]),
    )


def read_links(joins: pd.DataFrame, ids: Texts) -> Links:
    """Rebuild the graph of a table of joins; joins of images that are not among `ids` are left out.

    Args:
        joins: JOINS table.
        ids: image ids, text [n], unique.
    """
    place = pd.Index(ids)
    members = place.get_indexer(pd.Index(joins["image_id"]))
    centres = place.get_indexer(pd.Index(joins["other_image_id"]))
    source_of, sources = pd.factorize(joins["source"])
    value_of, values = pd.factorize(joins["value"])
    other_of, _ = pd.factorize(joins["other_image_id"])
    # a source and value alone do not name a join: two reviewers may give the same reason for different pairs
    key = (source_of.astype(np.int64) * (len(values) + 1) + value_of) * (len(joins) + 1) + other_of
    _, first, thing = np.unique(key, return_index=True, return_inverse=True)
    images = np.concatenate([members, centres[first]]).astype(np.int64)
    things = np.concatenate([thing.reshape(-1), np.arange(len(first))]).astype(np.int64)
    known = images >= 0
    return Links(
        images[known], things[known],
        np.asarray(sources, dtype=object)[source_of[first]], np.asarray(values, dtype=object)[value_of[first]],
    )  # fmt: skip


def components(links: Links, images: int) -> NDArray[np.int64]:
    """Number the connected images alike: int64 [images]."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    nodes = images + len(links.sources)
    ends = (links.images, images + links.things)
    graph = coo_matrix((np.ones(len(links.images), np.int8), ends), shape=(nodes, nodes))
    _, found = connected_components(graph, directed=False)
    _, component = np.unique(found[:images], return_inverse=True)
    return np.asarray(component.reshape(-1), np.int64)


def name_groups(component: NDArray[np.int64], ids: Texts) -> Texts:
    """Call every group after the smallest image id in it: text [n]."""
    order = _order(ids)
    _, first = np.unique(component[order], return_index=True)
    return np.asarray(ids[order][first][component], dtype=object)


def group_reasons(links: Links, component: NDArray[np.int64]) -> Texts:
    """Say of every image what joins its group: text [n], empty where it stands alone.

    Sources stand in the order of `links`; of many values the first three are named.
    """
    joining = np.bincount(links.things, minlength=len(links.sources)) > 1
    where = np.zeros(len(links.sources), np.int64)
    where[links.things] = component[links.images]
    things = np.flatnonzero(joining)
    source_of, sources = pd.factorize(links.sources)
    _, value_of = np.unique(links.values.astype(str), return_inverse=True)
    things = things[np.lexsort((value_of.reshape(-1)[things], source_of[things], where[things]))]
    said: dict[int, dict[int, list[str]]] = {}
    for group, source, value in zip(
        where[things].tolist(), source_of[things].tolist(), links.values[things].tolist(), strict=True
    ):
        said.setdefault(group, {}).setdefault(source, []).append(value)
    texts = np.full(int(component.max()) + 1 if len(component) else 0, "", dtype=object)
    for group, by_source in said.items():
        texts[group] = "; ".join(f"{sources[source]} {_shorten(values)}" for source, values in by_source.items())
    return np.asarray(texts[component], dtype=object)


def _order(ids: Texts) -> NDArray[np.intp]:
    """Sort by the text; Arrow sorts a million ids in a tenth of the time that Python objects take."""
    return np.asarray(pd.Series(ids, dtype="str").argsort(kind="stable"), np.intp)


def _shorten(values: list[str]) -> str:
    if len(values) > 1:
        values = list(dict.fromkeys(values))
    more = f" and {len(values) - _NAMES_SHOWN} more" if len(values) > _NAMES_SHOWN else ""
    return f"{', '.join(values[:_NAMES_SHOWN])}{more}"
