"""Which images must stay on one side of the split, and why: union-find over the sources that the analyst names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from automl_cnn.artifacts import GROUPS
from automl_cnn.config import GroupSource
from automl_cnn.errors import DataError

_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Groups:
    """What `build_groups` found.

    Attributes:
        table: GROUPS, one row an image of the manifest, in its order. `group` is the smallest image_id of the group;
            `reason` names what joined it and is empty for an image that stands alone.
        unnamed: images to which a source gives no group, by source; they stand alone unless another source joins them.
    """

    table: pd.DataFrame
    unnamed: dict[str, int]


def build_groups(
    manifest: pd.DataFrame,
    duplicates: pd.DataFrame,
    sources: Sequence[GroupSource],
    group_column: str | None = None,
    pattern: str | None = None,
) -> Groups:
    """Join images that share a value of any source; joins carry over from one source to the next.

    Args:
        manifest: MANIFEST table with the columns of the user's CSV.
        duplicates: DUPLICATES table.
        sources: of column, folder, pattern, duplicates.
        group_column: for column; None means that there is none, and the source is passed over.
        pattern: for pattern: a regular expression searched in the relative path; its first group is the name.
    Raises:
        DataError: group_column is not in the manifest; the pattern is invalid, has no group, or matches no path.
    """
    ids = manifest["image_id"].astype(str).tolist()
    leader = list(range(len(ids)))
    names: dict[str, list[str | None]] = {}
    for source in dict.fromkeys(sources):
        title, values = _values(manifest, duplicates, source, group_column, pattern)
        if title:
            names[title] = values
            _join_equal(leader, values)
    roots = [_find(leader, row) for row in range(len(ids))]
    members: dict[int, list[int]] = {}
    for row, root in enumerate(roots):
        members.setdefault(root, []).append(row)
    label = {root: min(ids[row] for row in rows) for root, rows in members.items()}
    reason = {root: _reason(names, rows) for root, rows in members.items()}
    table = pd.DataFrame(
        {"image_id": ids, "group": [label[root] for root in roots], "reason": [reason[root] for root in roots]},
        columns=list(GROUPS.columns),
    ).astype("str")
    unnamed = {title: sum(v is None for v in values) for title, values in names.items() if title != "duplicates"}
    return Groups(table, unnamed)


def _values(
    manifest: pd.DataFrame, duplicates: pd.DataFrame, source: GroupSource, column: str | None, pattern: str | None
) -> tuple[str, list[str | None]]:
    """A title for the reasons, and the group's name of every row; None where the source says nothing."""
    paths = manifest["path"].astype(str).tolist()
    if source == "column":
        return (column, _column(manifest, column)) if column else ("", [])
    if source == "folder":
        return "folder", [_folder(path, label) for path, label in zip(paths, manifest["label"].tolist(), strict=True)]
    if source == "pattern":
        return "pattern", _matches(paths, pattern or "")
    cluster = dict(zip(duplicates["image_id"].tolist(), duplicates["cluster"].tolist(), strict=True))
    found = [cluster.get(name) for name in manifest["image_id"].tolist()]
    return "duplicates", [None if name is None else str(name) for name in found]


def _column(manifest: pd.DataFrame, column: str) -> list[str | None]:
    if column not in manifest.columns:
        raise DataError(
            "data.group_column", expected="a column of the CSV", received=repr(column),
            action=f"The manifest has {', '.join(map(str, manifest.columns))}.",
        )  # fmt: skip
    texts = ["" if pd.isna(value) else str(value).strip() for value in manifest[column].tolist()]
    return [text or None for text in texts]


def _folder(path: str, label: str) -> str | None:
    """The parent folder; none for an image directly in the root or in the folder that only names its class."""
    parent = PurePosixPath(path).parent
    return None if parent.parts in ((), (label,)) else str(parent)


def _matches(paths: list[str], pattern: str) -> list[str | None]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise _pattern_error("a regular expression", f"{pattern!r}: {error}", "Correct it.") from None
    if compiled.groups == 0:
        raise _pattern_error(
            "a regular expression with a group", repr(pattern), "Put the part that names the group in brackets."
        )
    found = [compiled.search(path) for path in paths]
    values = [(match[1] or None) if match else None for match in found]
    if paths and not any(values):
        raise _pattern_error(
            "a pattern that matches paths", f"{pattern!r}, which matches none of {len(paths):,}",
            f"A path reads {paths[0]!r}.",
        )  # fmt: skip
    return values


def _pattern_error(expected: str, received: str, action: str) -> DataError:
    return DataError("split.pattern", expected=expected, received=received, action=action)


def _join_equal(leader: list[int], values: list[str | None]) -> None:
    first: dict[str, int] = {}
    for row, value in enumerate(values):
        if value is not None:
            a, b = _find(leader, first.setdefault(value, row)), _find(leader, row)
            leader[max(a, b)] = min(a, b)


def _find(leader: list[int], row: int) -> int:
    while leader[row] != row:
        leader[row] = leader[leader[row]]
        row = leader[row]
    return row


def _reason(names: dict[str, list[str | None]], rows: list[int]) -> str:
    if len(rows) == 1:
        return ""
    parts = []
    for title, values in names.items():
        counts = pd.Series([values[row] for row in rows], dtype=object).dropna().value_counts()
        joining = sorted(str(value) for value in counts.index[np.asarray(counts) > 1])
        if joining:
            more = f" and {len(joining) - _NAMES_SHOWN} more" if len(joining) > _NAMES_SHOWN else ""
            parts.append(f"{title} {', '.join(joining[:_NAMES_SHOWN])}{more}")
    return "; ".join(parts)
