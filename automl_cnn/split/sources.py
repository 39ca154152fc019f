"""What keeps images together: each source says which images share what."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from automl_cnn.config import GroupSource
from automl_cnn.data.names import nfc
from automl_cnn.errors import DataError
from automl_cnn.split.union import Shared, share_equal

COPIES, REVIEWER = "copies", "reviewer"  # always on, whatever split.group_by says
_DIGITS = 12  # of a hash, for people
_TITLES = {"folder", "pattern", "session", "duplicates", COPIES, REVIEWER}


def share_column(manifest: pd.DataFrame, column: str) -> Shared:
    """Images with the same text in a column of the CSV; spaces around it do not count.

    Raises:
        DataError: the manifest has no such column.
    """
    if column not in manifest.columns:
        raise DataError(
            "data.group_column", expected="a column of the CSV", received=repr(column),
            action=f"The manifest has {', '.join(map(str, manifest.columns))}.",
        )  # fmt: skip
    texts = manifest[column].astype("str").str.strip()
    title = f"column {column}" if column in _TITLES else column
    return share_equal(title, texts.where(manifest[column].notna() & (texts != "")))


def share_folder(manifest: pd.DataFrame) -> Shared:
    """Images of one parent folder; not those directly in the root or in the folder that only names their class.

    An image that a reviewer has relabelled still lies in the folder of the class that it was given.
    """
    parents = [path.rpartition("/")[0] for path in manifest["path"].tolist()]
    given = manifest["given_label" if "given_label" in manifest else "label"].tolist()
    # paths are spelt as the disk has them, labels composed: a folder made on a Mac is the class all the same
    named = [parent if nfc(parent) not in ("", label) else None for parent, label in zip(parents, given, strict=True)]
    return share_equal("folder", pd.Series(named, dtype="str"))


def share_pattern(manifest: pd.DataFrame, pattern: str) -> Shared:
    """Images whose path gives the same text in the first group of a regular expression.

    Raises:
        DataError: the pattern is invalid, has no group, or matches no path.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise _pattern_error("a regular expression", f"{pattern!r}: {error}", "Correct it.") from None
    if compiled.groups == 0:
        raise _pattern_error(
            "a regular expression with a group", repr(pattern), "Put the part that names the group in brackets."
        )
    paths = manifest["path"].tolist()
    found = [compiled.search(path) for path in paths]
    values = [(match[1] or None) if match else None for match in found]
    if paths and not any(values):
        raise _pattern_error(
            "a pattern that matches paths", f"{pattern!r}, which matches none of {len(paths):,}",
            f"A path reads {paths[0]!r}.",
        )  # fmt: skip
    return share_equal("pattern", pd.Series(values, dtype="str"))


def share_session(manifest: pd.DataFrame, gap_minutes: float) -> Shared:
    """Photographs of one camera between which no pause is longer than `gap_minutes`.

    Images without a camera or a readable capture time share nothing. The session is named by camera and first time.
    """
    taken = pd.to_datetime(manifest["capture_time"].astype("str"), errors="coerce", format="ISO8601")
    camera = manifest["camera"].astype("str")
    known = np.flatnonzero((taken.notna() & manifest["camera"].notna() & (camera != "")).to_numpy())
    by_camera, _ = pd.factorize(camera.iloc[known], sort=True)
    when = taken.iloc[known].to_numpy("datetime64[us]")
    order = np.lexsort((when, by_camera))
    rows, by_camera, when = known[order], by_camera[order], when[order]
    starts = np.ones(len(rows), bool)
    pause = np.diff(when) / np.timedelta64(1, "m")
    starts[1:] = (by_camera[1:] != by_camera[:-1]) | (pause > gap_minutes)
    opening = rows[starts]
    names = [
        f"{name} {time:%Y-%m-%d %H:%M:%S}" for name, time in zip(camera.iloc[opening], taken.iloc[opening], strict=True)
    ]
    return Shared("session", rows, np.cumsum(starts) - 1, np.array(names, dtype=object))


def share_duplicates(manifest: pd.DataFrame, duplicates: pd.DataFrame) -> Shared:
    """Images of one cluster of near-duplicates; images that are no longer in the manifest are left out."""
    members = duplicates[["cluster", "image_id"]].drop_duplicates()
    rows = pd.Index(manifest["image_id"]).get_indexer(pd.Index(members["image_id"]))
    codes, names = pd.factorize(members["cluster"])
    there = rows >= 0
    return Shared(
        "duplicates", rows[there].astype(np.int64), codes[there].astype(np.int64), names.to_numpy().astype(object)
    )


def share_copies(manifest: pd.DataFrame) -> list[Shared]:
    """The same bytes, and the same pixels in other bytes, among the images that can be used.

    Broken files share nothing: every empty file has the same bytes and is a copy of none.
    """
    sound = (manifest["status"] == "ok").to_numpy()
    found = []
    for kind, column in (("bytes", "sha256"), ("pixels", "pixel_sha")):
        hashes = manifest[column].astype("str").where(sound)
        rows = np.flatnonzero(hashes.duplicated(keep=False) & hashes.notna() & (hashes != ""))
        if kind == "pixels":
            # what the same bytes have said already is not said again
            rows = rows[manifest["sha256"].iloc[rows].groupby(hashes.iloc[rows]).transform("nunique") > 1]
        one = share_equal(COPIES, hashes.iloc[rows])
        names = np.array([f"{kind} {value[:_DIGITS]}" for value in one.values], dtype=object)
        found.append(Shared(COPIES, rows[one.rows], one.codes, names))
    return found


def share_reviewed(manifest: pd.DataFrame, joins: Sequence[tuple[str, str, str]]) -> Shared:
    """Pairs that a reviewer joined: (image_id, image_id, reason). A pair of which one image is gone is left out."""
    index = pd.Index(manifest["image_id"])
    pairs = np.array([index.get_indexer([one, other]) for one, other, _ in joins], np.int64).reshape(-1, 2)
    there = (pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])
    codes = np.repeat(np.flatnonzero(there), 2)
    return Shared(REVIEWER, pairs[there].reshape(-1), codes, np.array([reason for _, _, reason in joins], dtype=object))


def share_source(
    source: GroupSource,
    manifest: pd.DataFrame,
    duplicates: pd.DataFrame,
    group_column: str | None,
    pattern: str | None,
    session_gap_minutes: float,
) -> Shared | None:
    """What a source of split.group_by says; None where it has nothing to look at: `column` without a column."""
    if source == "column":
        return share_column(manifest, group_column) if group_column else None
    if source == "folder":
        return share_folder(manifest)
    if source == "pattern":
        return share_pattern(manifest, pattern or "")
    if source == "session":
        return share_session(manifest, session_gap_minutes)
    return share_duplicates(manifest, duplicates)


def _pattern_error(expected: str, received: str, action: str) -> DataError:
    return DataError("split.pattern", expected=expected, received=received, action=action)
