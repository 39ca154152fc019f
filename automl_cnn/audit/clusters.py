"""From pairs of copies to clusters that do not chain: A like B like C does not make A and C copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SameLook = Callable[[int, list[int]], NDArray[np.bool_]]  # a row and others → which of them look like it
EXACT = ("sha256", "pixels")  # methods that prove a copy


@dataclass(frozen=True)
class Link:
    """Two rows that are copies, by which method, how far apart."""

    first: int
    second: int
    method: str
    distance: float


@dataclass(frozen=True)
class Cluster:
    """Copies of one picture.

    Attributes:
        centre: row that all other members look like.
        links: row → its closest link within the cluster; two rows at least.
    """

    centre: int
    links: dict[int, Link]


def cluster_links(links: list[Link], same_look: SameLook) -> list[Cluster]:
    """Join linked rows and check every member of a cluster against its centre.

    Args:
        links: pairs; those with equal files or pixels are never separated.
        same_look: tells for a row and a list of others which of them look like it; asked for those that no link joins
            to the centre directly.
    Returns:
        Clusters of two or more, no row in two of them. The centre (medoid) is the row with most links, of these the one
        with the nearest; what does not look like it is clustered anew.
    """
    home: dict[int, int] = {}  # row → the first row with equal pixels
    for link in links:
        if link.method in EXACT:
            a, b = _home(home, link.first), _home(home, link.second)
            home[max(a, b)] = min(a, b)
    near: dict[int, dict[int, float]] = {}
    for link in links:
        a, b = _home(home, link.first), _home(home, link.second)
        for one, other in ((a, b), (b, a)):
            around = near.setdefault(one, {})
            if one != other:
                around[other] = min(link.distance, around.get(other, np.inf))
    cluster_of: dict[int, int] = {}
    for component in _components(set(near), near):
        rest = component
        while rest:
            centre = min(rest, key=lambda row: (-len(near[row].keys() & rest), sum(near[row].values()), row))
            members = _around(centre, rest, near, same_look)
            cluster_of.update(dict.fromkeys(members, centre))
            rest -= members
    return _with_links(links, home, cluster_of)


def _around(centre: int, rest: set[int], near: dict[int, dict[int, float]], same_look: SameLook) -> set[int]:
    direct = {centre} | (near[centre].keys() & rest)
    others = sorted(_part(centre, rest, near) - direct)
    if not others:
        return direct
    kept = direct | {row for row, alike in zip(others, same_look(centre, others).tolist(), strict=True) if alike}
    return _part(centre, kept, near)


def _components(rows: set[int], near: dict[int, dict[int, float]]) -> list[set[int]]:
    """Connected parts of the graph on `rows`, by their smallest row."""
    unseen, parts = set(rows), []
    for start in sorted(rows):
        if start in unseen:
            parts.append(_part(start, rows, near))
            unseen -= parts[-1]
    return parts


def _part(start: int, rows: set[int], near: dict[int, dict[int, float]]) -> set[int]:
    """What is reached from `start` without leaving `rows`."""
    part, edge = {start}, [start]
    while edge:
        new = (near[edge.pop()].keys() & rows) - part
        part |= new
        edge.extend(new)
    return part


def _with_links(links: list[Link], home: dict[int, int], cluster_of: dict[int, int]) -> list[Cluster]:
    clusters: dict[int, dict[int, Link]] = {}
    for link in sorted(links, key=lambda one: (one.distance, one.method not in EXACT, one.first, one.second)):
        cluster = cluster_of[_home(home, link.first)]
        if cluster == cluster_of[_home(home, link.second)]:
            for row in (link.first, link.second):
                clusters.setdefault(cluster, {}).setdefault(row, link)
    return [Cluster(centre, members) for centre, members in clusters.items()]


def _home(home: dict[int, int], row: int) -> int:
    while (up := home.get(row, row)) != row:
        row = up
    return row
