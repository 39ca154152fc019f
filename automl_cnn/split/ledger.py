"""Where every image has stood since it was first split: the memory that keeps old images in place when data grows.

The ledger is only ever added to. An image is known by its bytes, else by its pixels, else by its path, so that it keeps
its side when it is renamed, saved again or edited in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import LEDGER, read_table, write_table
from automl_cnn.errors import ArtifactError
from automl_cnn.split.groups import group_images
from automl_cnn.split.recall import PROTECTED, content_sides, recall_sides, stands_by
from automl_cnn.split.union import Links, Texts, components, read_links

_COLUMNS = (*LEDGER.columns, "generation")
_ANEW = "`automl-cnn resplit` splits anew."
_AGAIN = "Bring it back with `dvc checkout artifacts/ledger.parquet`, or split anew with `automl-cnn resplit`."


@dataclass(frozen=True)
class Stand:
    """Where the images stand before the split.

    Attributes:
        groups: GROUPS table in the order of the manifest; within a group all images that stand anywhere stand on one
            side. What had to be left out of its group stands alone.
        earlier: image_id → side, for the images that the ledger knows and for all that are joined to them.
        stood: bool [n, sides], by image_id: whether the ledger had the bytes of an image on each side. It knows nothing
            of paths, joins or `earlier`.
        left_out: image_id → why, for the images that must be quarantined lest they join two sides.
        counts: of the images in use: known and new; of those left out: bridging (new) and conflicts (known).
    """

    groups: pd.DataFrame
    earlier: dict[str, str]
    stood: pd.DataFrame
    left_out: dict[str, str]
    counts: dict[str, int]

    def report(self, table: pd.DataFrame) -> dict[str, int]:
        """What report.json says of the ledger.

        `moved` is counted on the SPLITS table: images whose bytes stood on another side, by the ledger as it was read.
        """
        stood = self.stood.loc[table["image_id"]]
        here = np.stack([(table["split"] == name).to_numpy(bool) for name in PROTECTED], axis=1)
        stayed = (stood.to_numpy() & here).any(axis=1)
        return {**self.counts, "moved": int((stood.to_numpy().any(axis=1) & here.any(axis=1) & ~stayed).sum())}

    def lines(self) -> list[str]:
        """What the stage says; nothing at the first split."""
        known, bridging, conflicts = (self.counts[name] for name in ("known", "bridging", "conflicts"))
        told = []
        if known:
            told.append(f"{known - conflicts:,} images stay where the ledger has them, whatever split.ratios and "
                        f"split.seed say now. {_ANEW}")  # fmt: skip
        if bridging:
            told.append(f"{bridging:,} new images would join two sides and are quarantined; splits.parquet says why.")
        if conflicts:
            told.append(f"{conflicts:,} old images are now joined to another side (by another split.group_by, new "
                        f"duplicates or a reviewer) and are quarantined. {_ANEW}")  # fmt: skip
        return told


def read_ledger(path: Path) -> pd.DataFrame:
    """Read the ledger; no rows where there is none yet.

    Raises:
        ArtifactError: it is damaged, of another version, or names a side that there is not.
    """
    if not path.exists():
        return pd.DataFrame({
            name: pd.Series([], dtype="int64" if name == "generation" else "str") for name in _COLUMNS
        })  # fmt: skip
    try:
        ledger = read_table(path, LEDGER)
    except ArtifactError as error:
        raise ArtifactError(error.where, expected=error.expected, received=error.received, action=_AGAIN) from None
    sides = ledger["split"].astype("str").fillna("a row without a side")
    if strange := sorted(set(sides) - set(PROTECTED)):
        raise ArtifactError(
            str(path), expected=f"the sides {', '.join(PROTECTED)}", received=", ".join(strange), action=_AGAIN
        )
    if "generation" not in ledger:
        ledger["generation"] = 1
    return ledger[list(_COLUMNS)]


def write_ledger(path: Path, ledger: pd.DataFrame) -> None:
    """Write it so that the same rows give the same bytes."""
    write_table(path, ledger, LEDGER)


def find_stand(decided: pd.DataFrame, groups: pd.DataFrame, joins: pd.DataFrame, ledger: pd.DataFrame) -> Stand:
    """Look up where the old images stand, and leave out what would join two sides.

    Old images never change sides. Where a new join (another split.group_by, a new duplicate, a reviewer's merge_group)
    connects old images of two sides, the test split keeps all of its images, validation those that are not joined to
    the test split, train those that are joined to neither; the joining rest is quarantined. New images follow in the
    order of their sha256; one that would connect two sides is quarantined, and nothing that merely hangs on it. A new
    image with the bytes or pixels of an old one can only stand where that stood.

    An old image that is out of use joins nobody into one group, but what it is joined to must stand on its side, so
    that it can come back.

    Args:
        decided: MANIFEST table after the reviewer's decisions, with `excluded`.
        groups: GROUPS table of the same images.
        joins: JOINS table of the same images.
        ledger: what `read_ledger` returned.
    """
    side = recall_sides(decided, ledger)
    known, used = side != "", ((decided["status"] == "ok") & ~decided["excluded"].astype(bool)).to_numpy(bool)
    own = np.where(known, side, np.where(used, content_sides(decided, ledger), ""))
    table = decided[["image_id"]].merge(groups, on="image_id", how="left", validate="one_to_one")
    ids = table["image_id"].to_numpy(dtype=object)
    group, _ = pd.factorize(table["group"])
    joined = components(read_links(joins, ids).without(~known & ~used), len(ids)) if (known & ~used).any() else group
    torn = (_stands(joined, own).sum(axis=1) > 1)[joined]
    rows = np.flatnonzero(torn | np.isin(group, group[torn]))
    quarantined = np.full(len(table), "", dtype=object)
    if len(rows):
        links = read_links(joins, ids[rows])
        some = links.without(~known[rows] & ~used[rows])
        order = _order(decided["sha256"].astype("str").to_numpy(dtype=object)[rows], ids[rows], side[rows], used[rows])
        reasons = _keep_apart(some, order, own[rows], known[rows])
        alone = reasons != ""
        quarantined[rows] = np.where(used[rows], reasons, "")
        parts = group_images(ids[rows], links.without(alone), ~used[rows])
        table.loc[rows, ["group", "reason"]] = parts[["group", "reason"]].to_numpy()
        joined[rows] = len(ids) + components(some.without(alone), len(rows))
    return Stand(
        table, _settled(ids, joined, own, known | used), _stood(decided, ledger),
        {name: str(why) for name, why in zip(ids, quarantined, strict=True) if why},
        {
            "known": int((known & used).sum()), "new": int((~known & used).sum()),
            "bridging": int(((quarantined != "") & ~known).sum()),
            "conflicts": int(((quarantined != "") & known).sum()),
        },
    )  # fmt: skip


def extend_ledger(ledger: pd.DataFrame, decided: pd.DataFrame, split: Sequence[str]) -> pd.DataFrame:
    """Add the images that now stand on a side; rows that are there stay as they are, in their order.

    Args:
        ledger: what `read_ledger` returned.
        decided: MANIFEST table.
        split: the split of each image of `decided`; quarantined images are not added.
    Returns:
        LEDGER table; `generation` counts the splits that added something, from 1.
    """
    rows = decided[["sha256", "pixel_sha", "path"]].astype("str").assign(split=list(split))
    rows = rows[rows["split"].isin(PROTECTED)].fillna("").sort_values("path", kind="stable")
    both = pd.concat([ledger[list(LEDGER.columns)], rows], ignore_index=True)
    rows = rows[~both.duplicated().to_numpy()[len(ledger) :]]
    if rows.empty:
        return ledger
    generation = int(ledger["generation"].max()) + 1 if len(ledger) else 1
    added = pd.concat([ledger, rows.assign(generation=generation)], ignore_index=True)
    return added.astype({**dict.fromkeys(LEDGER.columns, "str"), "generation": "int64"})


def retire_ledger(path: Path) -> Path | None:
    """Put the ledger aside so that the next split starts afresh; nothing is deleted.

    Returns:
        Where it lies now: beside its place, with the next free number; None where there was none.
    """
    if not path.exists():
        return None
    number = 1
    while (retired := path.with_name(f"{path.stem}.retired-{number}{path.suffix}")).exists():
        number += 1
    return path.rename(retired)


def _stands(joined: NDArray[np.int64], own: Texts) -> NDArray[np.bool_]:
    """On which sides images of each connected part stand: bool [parts, sides]."""
    parts = int(joined.max(initial=-1)) + 1
    return np.stack([np.bincount(joined[own == name], minlength=parts) > 0 for name in PROTECTED], axis=1)


def _settled(ids: Texts, joined: NDArray[np.int64], own: Texts, counted: NDArray[np.bool_]) -> dict[str, str]:
    """The side of every image that is connected to one with a side; no part has two any more."""
    stands = _stands(joined, own)
    names = np.array(PROTECTED, dtype=object)[stands.argmax(axis=1)]
    rows = np.flatnonzero((stands.sum(axis=1) > 0)[joined] & counted)
    return dict(zip(ids[rows].tolist(), names[joined[rows]].tolist(), strict=True))


def _stood(decided: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(stands_by(decided, ledger, "sha256"), index=decided["image_id"], columns=list(PROTECTED))


def _order(sha256: Texts, ids: Texts, side: Texts, used: NDArray[np.bool_]) -> list[int]:
    """Who is placed first: the old by protection, then the old that are out of use, then the new; each by sha256.

    A new image that is out of use comes to stand nowhere.
    """
    place = {name: number for number, name in enumerate(PROTECTED)}
    rows = [row for row in range(len(ids)) if side[row] or used[row]]
    new = 2 * len(place)
    rank = {row: place[side[row]] + len(place) * (not used[row]) if side[row] else new for row in rows}
    return sorted(rows, key=lambda row: (rank[row], sha256[row], ids[row]))


def _keep_apart(links: Links, order: list[int], own: Texts, known: NDArray[np.bool_]) -> Texts:
    """Grow the groups image by image: text [n], why an image was left out, empty where it was taken in."""
    shared: list[list[int]] = [[] for _ in own]
    for image, thing in zip(links.images.tolist(), links.things.tolist(), strict=True):
        shared[image].append(thing)
    leader = list(range(len(links.sources)))
    side_of: dict[int, str] = {}  # of the shared things, by their leader
    reasons = np.full(len(own), "", dtype=object)
    for row in order:
        roots = {_find(leader, thing) for thing in shared[row]}
        sides = {side_of[root] for root in roots if root in side_of} | ({own[row]} - {""})
        if len(sides) > 1:
            reasons[row] = _tell(links, shared[row], leader, side_of, own[row], known[row])
            continue
        for root in roots:
            leader[root] = min(roots)
        if sides and roots:
            side_of[min(roots)] = sides.pop()
    return reasons


def _find(leader: list[int], thing: int) -> int:
    while leader[thing] != thing:
        leader[thing] = leader[leader[thing]]
        thing = leader[thing]
    return thing


def _tell(links: Links, shared: list[int], leader: list[int], side_of: dict[int, str], own: str, known: bool) -> str:
    """Name the sides between which an image stands and what joins it to each."""
    joined: dict[str, list[str]] = {}
    for thing in shared:
        if there := side_of.get(_find(leader, thing)):
            joined.setdefault(there, []).append(f"{links.sources[thing]} {links.values[thing]}")
    if own and not known:
        joined.setdefault(own, ["a copy stood there"])
    told = [f"{name} ({', '.join(sorted(joined[name]))})" for name in reversed(PROTECTED) if name in joined]
    if known:
        told = [text for text in told if not text.startswith(f"{own} (")]
        return f"stands in {own}, now also joined to {' and '.join(told)}"
    return f"would join {' to '.join(told)}"
