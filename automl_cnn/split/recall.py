"""Which image is which row of the ledger: known by its bytes, else by its pixels, else by its path."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.split.union import Texts

PROTECTED = ("test", "validation", "train")  # in a conflict the earlier named keeps its images
_KEYS = ("sha256", "pixel_sha", "path")


def recall_sides(decided: pd.DataFrame, ledger: pd.DataFrame) -> Texts:
    """The side of each old image: text [n], empty where the ledger does not know it.

    A row of the ledger stands for one image: of several with the same bytes the one at its path comes first, a further
    copy is a new image. What stood beside it in the same generation is another image; other rows with its bytes tell
    of places that it has left, and no other image is known by them. At a path the latest row counts, and only for an
    image whose bytes and pixels are new or stood on the same side.

    Args:
        decided: MANIFEST table.
        ledger: LEDGER table with `generation`.
    """
    images, rows = _coded(decided, ledger)
    images = images.iloc[np.argsort(images["path"], kind="stable")]
    stood = ledger["split"].to_numpy(dtype=object)
    rows = rows.iloc[np.argsort(pd.Index(PROTECTED).get_indexer(pd.Index(stood)), kind="stable")]
    latest = ~ledger["path"].duplicated(keep="last").to_numpy()
    content = content_sides(decided, ledger)
    side = np.full(len(decided), "", dtype=object)
    found = []
    for keys in (["sha256", "path"], ["sha256"], ["pixel_sha"], ["path"]):
        if keys == ["path"]:
            rows = rows[latest[rows["row"]]]
        pairs = _pair(images, rows, keys)
        if keys == ["path"]:
            there = content[pairs["row"]]
            pairs = pairs[(there == "") | (there == stood[pairs["row_of_ledger"]])]
        side[pairs["row"]] = stood[pairs["row_of_ledger"]]
        images = images[~images["row"].isin(pairs["row"])]
        rows = rows[~rows["row"].isin(pairs["row_of_ledger"])]
        found.append(pairs)
        rows = _without_left(rows, pd.concat(found), _KEYS[: min(len(found), 2)])
    return side


def content_sides(decided: pd.DataFrame, ledger: pd.DataFrame) -> Texts:
    """The side on which the bytes of each image have stood, else its pixels: text [n], empty where they are new."""
    side = np.full(len(decided), "", dtype=object)
    for key in ("pixel_sha", "sha256"):
        stands = stands_by(decided, ledger, key)
        side = np.where(stands.any(axis=1), np.array(PROTECTED, dtype=object)[stands.argmax(axis=1)], side)
    return side


def stands_by(decided: pd.DataFrame, ledger: pd.DataFrame, key: str) -> NDArray[np.bool_]:
    """Whether the ledger has the sha256 or pixel_sha of an image on each side: bool [n, sides], as PROTECTED."""
    codes = _codes(decided, ledger, key)
    of_images, of_rows = codes[: len(decided)], codes[len(decided) :]
    stands = np.zeros((int(codes.max(initial=-1)) + 2, len(PROTECTED)), bool)  # -1, no text, reads the last
    for place, name in enumerate(PROTECTED):
        stands[of_rows[(ledger["split"] == name).to_numpy(bool) & (of_rows >= 0)], place] = True
    return np.asarray(stands[of_images], bool)


def _coded(decided: pd.DataFrame, ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The keys of both as numbers, alike where the texts are alike, -1 where there is none; and the row."""
    codes = {key: _codes(decided, ledger, key) for key in _KEYS}
    frame = pd.DataFrame(codes)
    parts = frame.iloc[: len(decided)], frame.iloc[len(decided) :]
    images, rows = (part.reset_index(drop=True).assign(row=np.arange(len(part))) for part in parts)
    return images, rows.assign(generation=ledger["generation"].to_numpy())


def _codes(decided: pd.DataFrame, ledger: pd.DataFrame, key: str) -> NDArray[np.intp]:
    """A column of both, one below the other, as numbers; paths in their order."""
    texts = pd.concat([decided[key].astype("str"), ledger[key].astype("str")], ignore_index=True)
    codes, _ = pd.factorize(texts.where(texts != ""), sort=key == "path")
    return codes


def _pair(images: pd.DataFrame, rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Images and rows alike in the keys, one to one, in the order of both."""
    wanted, offered = (frame[(frame[keys] >= 0).all(axis=1)] for frame in (images, rows))
    wanted = wanted[wanted[keys[0]].isin(offered[keys[0]])]
    return pd.merge(
        wanted.assign(turn=wanted.groupby(keys).cumcount()),
        offered[[*keys, "row", "generation"]].assign(turn=offered.groupby(keys).cumcount()),
        on=[*keys, "turn"], suffixes=("", "_of_ledger"),
    )  # fmt: skip


def _without_left(rows: pd.DataFrame, found: pd.DataFrame, keys: tuple[str, ...]) -> pd.DataFrame:
    """The rows without those of another generation than a found image's own, but with its bytes or pixels."""
    generations = (
        int(max(rows["generation"].max(), found["generation"].max(), 0)) + 1 if len(rows) and len(found) else 1
    )
    for key in keys:
        known = found[found[key] >= 0]
        same_time = (rows[key] * generations + rows["generation"]).isin(known[key] * generations + known["generation"])
        rows = rows[~rows[key].isin(known[key]) | same_time]
    return rows
