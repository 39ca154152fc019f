"""Faults that a file's facts tell, without its pixels: what it is, what it is called, what else carries its picture."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from automl_cnn.data.issues import issue_row
from automl_cnn.data.signatures import EXTENSIONS

Row = dict[Any, Any]

_ISSUE_OF_STATUS = {"empty": "empty_file", "unsupported": "unsupported_format"}  # the others keep their name
_COMMON_FORMATS = ("JPEG", "PNG")
_COMMON_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_RAW_ENDINGS = (".dng", ".nef", ".cr2", ".arw", ".orf", ".rw2", ".pef", ".srw")  # TIFF inside
_TURNED = {
    2: "mirrored", 3: "upside down", 4: "mirrored and upside down", 5: "mirrored and on its side", 6: "on its side",
    7: "mirrored and on its side", 8: "on its side",
}  # fmt: skip
_NAMED = 3


def fact_issues(manifest: pd.DataFrame) -> list[Row]:
    """Rows of ISSUES that follow from the manifest alone.

    Args:
        manifest: MANIFEST table; rows with a true `excluded`, where that column is there, take no part in conflicts.
    Returns:
        One row for each fault of a file; a file may have several.
    """
    issues = []
    for row in manifest.to_dict("records"):
        if row["status"] != "ok":
            issues.append(
                issue_row(
                    row, _ISSUE_OF_STATUS.get(row["status"], row["status"]), "block", row["error"] or row["status"]
                )
            )
        else:
            issues += _contents(row)
        issues += _name(row)
    return issues + _label_conflicts(manifest)


def _contents(row: Row) -> list[Row]:
    """What a readable file holds beside plain 8-bit RGB or grey; all of it is handled, other tools may stumble."""
    found, mode = [], str(row["mode"])
    plain, _, bits = mode.partition(";")
    if plain == "CMYK" or plain == "LAB":
        found.append(issue_row(row, "cmyk", "warn", f"colours for print ({plain}); converted without its profile"))
    if bits or plain in ("I", "F"):
        what = {"F": "32-bit floats", "I": "deep integers"}.get(plain, f"{''.join(filter(str.isdigit, bits))} bits")
        found.append(issue_row(row, "sixteen_bit", "warn", f"{what} a channel; brought to 8"))
    if plain in ("P", "PA"):
        found.append(issue_row(row, "palette", "info", "colours from a palette of at most 256"))
    if plain in ("RGBA", "LA", "PA", "RGBa", "La"):
        found.append(issue_row(row, "alpha", "info", "can be transparent; laid over white"))
    if row["frames"] > 1:
        what = "pages" if row["format"] == "TIFF" else "frames"
        found.append(
            issue_row(row, "animated", "warn", f"{row['frames']} {what}; the first one is used", row["frames"], 1)
        )
    if (turn := _TURNED.get(row["exif_orientation"])) is not None:
        found.append(
            issue_row(row, "exif_rotated", "info", f"stored {turn} (EXIF orientation {row['exif_orientation']}); "
                      "turned upright here", row["exif_orientation"], 1)
        )  # fmt: skip
    return found


def _name(row: Row) -> list[Row]:
    """How a file's ending goes with its first bytes."""
    kind, ending = str(row["format"]), PurePosixPath(row["path"]).suffix
    known = EXTENSIONS.get(kind)
    if known is None:  # no image, or nothing is known of it
        return []
    found = []
    if kind == "TIFF" and ending.lower() in _RAW_ENDINGS:
        found.append(issue_row(row, "unsupported_format", "warn", "a camera's raw file; what is read is its preview"))
    elif ending.lower() not in known:
        named = f"named {ending}" if ending else "without an ending"
        found.append(issue_row(row, "wrong_extension", "warn", f"a {kind} file {named}; expected {known[0]}"))
    elif row["status"] == "ok" and kind in _COMMON_FORMATS and ending not in _COMMON_ENDINGS:
        found.append(issue_row(row, "uncommon_extension", "info", f"tools that look for {known[0]} pass over {ending}"))
    if row["status"] == "ok" and kind not in _COMMON_FORMATS:
        found.append(issue_row(row, "uncommon_format", "info", f"{kind}; read here, passed over by many tools"))
    return found


def _label_conflicts(manifest: pd.DataFrame) -> list[Row]:
    """The same bytes, or the same pixels in other files, under more than one label; a row an image."""
    counted = manifest[manifest["status"] == "ok"]  # empty files have the same bytes and are copies of nothing
    if "excluded" in manifest.columns:
        counted = counted[~counted["excluded"].astype(bool)]
    found: dict[str, Row] = {}
    for column, what in (("sha256", "the same bytes"), ("pixel_sha", "the same pixels")):
        named = counted[counted[column].fillna("") != ""]
        several = named.groupby(column)["label"].transform("nunique") > 1
        for _, twins in named[several].groupby(column, sort=False):
            rows = twins.sort_values("path").to_dict("records")
            of_label = Counter(row["label"] for row in rows)
            named_of: dict[str, str] = {}
            for row in rows:
                if row["label"] not in named_of:
                    others = [other for other in rows if other["label"] != row["label"]][:_NAMED]
                    named_of[row["label"]] = ", ".join(f"{other['path']} ({other['label']})" for other in others)
                listed, left = named_of[row["label"]], len(rows) - of_label[row["label"]] - _NAMED
                more = f" and {left:,} more" if left > 0 else ""
                evidence = f"labelled {row['label']}; {what} in {listed}{more}"
                found.setdefault(
                    row["image_id"], issue_row(row, "label_conflict", "warn", evidence, twins["label"].nunique(), 1)
                )
    return list(found.values())
