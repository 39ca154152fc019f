"""Which rows of two runs' tables are the same picture: by pixels, and of several copies by their paths."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_SIDES = ("first", "second")


def match_pictures(first: pd.DataFrame, second: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair the rows of two tables.

    A picture that lies under the same path in both is the same row. Only what is left, files that were renamed, came or
    went, is paired by the picture, copies of one in the order of their paths.

    Args:
        first, second: path, pixel_sha and, where it is known, sha256. A file that could not be read has no pixel_sha;
            it is known by its bytes, or by its path alone.
    Returns:
        int64 [pairs] twice, row numbers of `first` and of `second`; those of `first` rise.
    """
    tables = [_numbered(first), _numbered(second)]
    at_place = tables[0].merge(tables[1], on=["picture", "path"], suffixes=("_first", "_second"))
    rest = [_copies(t[~t["row"].isin(at_place[f"row_{side}"])]) for t, side in zip(tables, _SIDES, strict=True)]
    moved = rest[0].merge(rest[1], on=["picture", "copy"], suffixes=("_first", "_second"))
    both = pd.concat([part[["row_first", "row_second"]] for part in (at_place, moved)]).sort_values("row_first")
    return both["row_first"].to_numpy(np.int64), both["row_second"].to_numpy(np.int64)


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """Row number, path and what the picture is known by; a path that stands there twice is told apart."""
    path = table["path"].astype(str)
    known = table["pixel_sha"].fillna("").astype(str)
    if "sha256" in table:
        known = known.where(known != "", "bytes " + table["sha256"].fillna("").astype(str))
    known = known.where(~known.isin(["", "bytes "]), "path " + path)
    made = pd.DataFrame({"row": np.arange(len(table)), "path": path.to_numpy(), "picture": known.to_numpy()})
    again = made.groupby(["picture", "path"]).cumcount()
    return made.assign(path=made["path"].where(again == 0, made["path"] + "\0" + again.astype(str)))


def _copies(rows: pd.DataFrame) -> pd.DataFrame:
    """Row, picture, and the number of the copy in the order of the paths."""
    ordered = rows.sort_values("path")
    return ordered.assign(copy=ordered.groupby("picture").cumcount())[["row", "picture", "copy"]]
