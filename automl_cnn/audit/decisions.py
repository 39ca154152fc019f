"""The reviewer's verdicts: decisions.csv, keyed by the bytes of an image, so that they outlive renaming and moving."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pandas as pd

from automl_cnn.artifacts import replacing
from automl_cnn.errors import DataError

COLUMNS = ("sha256", "decision", "new_label", "reviewer", "note")
DECISIONS = ("keep", "relabel", "exclude")
_REQUIRED = ("sha256", "decision")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LINES_SHOWN = 10


def read_decisions(path: Path) -> pd.DataFrame:
    """Read and check decisions.csv.

    Args:
        path: comma- or semicolon-separated, UTF-8, a header with at least sha256 and decision; other columns than
            `COLUMNS` are the reviewer's own and are left out.
    Returns:
        `COLUMNS` as text, one row an image, sorted by sha256; no rows where the file is absent or empty.
    Raises:
        DataError: columns are missing or lines are wrong; names every such line by its number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return _frame([])
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            str(path), expected="a CSV file in UTF-8", received=str(error), action="Save it again as CSV (UTF-8)."
        ) from None
    header = text.split("\n", 1)[0]
    delimiter = ";" if ";" in header and "," not in header else ","  # as spreadsheets write it in half of Europe
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [(name or "").strip() for name in reader.fieldnames or []]
    reader.fieldnames = names
    if text.strip() and (absent := [name for name in _REQUIRED if name not in names]):
        raise DataError(
            str(path), expected=f"the columns {', '.join(COLUMNS)}", received=f"no {' and no '.join(absent)}",
            action="Correct the first line of the file.",
        )  # fmt: skip
    try:
        lines = [(reader.line_num, {name: (row.get(name) or "").strip() for name in COLUMNS}) for row in reader]
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}", expected="comma-separated values", received=str(error),
            action="Correct the line.",
        ) from None  # fmt: skip
    rows = [(number, {**row, "sha256": row["sha256"].lower()}) for number, row in lines if any(row.values())]
    if problems := _problems(rows):
        more = len(problems) - _LINES_SHOWN
        shown = "; ".join(problems[:_LINES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise DataError(
            str(path), expected="one valid decision an image", received=shown,
            action=f"Correct these lines; a decision is one of {', '.join(DECISIONS)}.",
        )  # fmt: skip
    return _frame([row for _, row in rows])


def write_decisions(path: Path, decisions: pd.DataFrame) -> None:
    """Write the checked copy: the same decisions give the same bytes; the header alone where there are none.

    Args:
        path: usually `Files.decisions`.
        decisions: what `read_decisions` returned.
    """
    with replacing(path) as temporary:
        decisions[list(COLUMNS)].sort_values("sha256").to_csv(
            temporary, index=False, lineterminator="\n", encoding="utf-8"
        )


def apply_decisions(manifest: pd.DataFrame, decisions: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Put the reviewer's verdicts over the manifest; every file with the same bytes gets the same verdict.

    Args:
        manifest: MANIFEST table.
        decisions: what `read_decisions` returned.
    Returns:
        A copy of the manifest with `label` replaced, `decision` (keep, relabel, exclude or empty) and `excluded` (bool)
        beside it; and the hashes that no file of the manifest has, sorted.
    """
    verdicts = decisions.set_index("sha256")
    decision, new_label = (
        pd.Series([known.get(key, "") for key in manifest["sha256"]], index=manifest.index, dtype="str")
        for known in (verdicts["decision"].to_dict(), verdicts["new_label"].to_dict())
    )
    decided = manifest.assign(
        label=manifest["label"].where(decision != "relabel", new_label),
        decision=decision,
        excluded=(decision == "exclude").astype(bool),
    )
    return decided, sorted(set(verdicts.index) - set(manifest["sha256"]))


def _problems(rows: list[tuple[int, dict[str, str]]]) -> list[str]:
    problems: list[str] = []
    first: dict[str, int] = {}
    for number, row in rows:
        sha256, decision = row["sha256"], row["decision"]
        if not _SHA256.fullmatch(sha256):
            problems.append(f"line {number}: {sha256[:70]!r} is not a sha256 of 64 hexadecimal digits")
        elif (earlier := first.setdefault(sha256, number)) != number:
            problems.append(f"line {number}: the same sha256 as line {earlier}")
        if decision not in DECISIONS:
            problems.append(f"line {number}: unknown decision {decision!r}")
        elif decision == "relabel" and not row["new_label"]:
            problems.append(f"line {number}: relabel without new_label")
    return problems


def _frame(rows: list[dict[str, str]]) -> pd.DataFrame:
    ordered = sorted(rows, key=lambda row: row["sha256"])
    return pd.DataFrame({name: pd.Series([row[name] for row in ordered], dtype="str") for name in COLUMNS})
