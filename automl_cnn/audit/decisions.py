"""decisions.csv: the reviewer's verdicts, keyed by the bytes of an image, so that they outlive renaming and moving.

The file is the reviewer's and is never rewritten. What ingest hands on is a checked copy: the lines that can be
applied, each with its number in the reviewer's file.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from automl_cnn.artifacts import replacing
from automl_cnn.audit.csv_records import guard, read_record, split_lines, unguard
from automl_cnn.audit.problems import Problem
from automl_cnn.errors import DataError

COLUMNS = (
    "sha256", "issue", "decision", "new_label", "reviewer", "time", "note", "score_seen", "label_seen",
)  # fmt: skip
DECISIONS = ("keep", "relabel", "exclude", "keep_one", "merge_group", "split_group")
NEW_CLASS = "new:"  # before a class that no image has yet
SUSPECT_LABEL = "suspect_label"
_REQUIRED = ("sha256", "decision")
LINE = "_line"  # of the checked copy: where the decision stands in the reviewer's file
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN = 70  # characters of what came


@dataclass(frozen=True)
class Decisions:
    """What decisions.csv holds.

    Attributes:
        table: `COLUMNS` and the reviewer's own columns as text, and `_line` (int); one row a decision, in the order of
            their lines. No two of them contradict each other.
        problems: lines that cannot be applied.
    """

    table: pd.DataFrame
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def rows(self) -> list[dict[str, str]]:
        """The decisions as plain dictionaries, in the order of their lines."""
        columns = [name for name in self.table.columns if name != LINE]
        cells = zip(*(self.table[name].tolist() for name in columns), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in cells]

    def own_columns(self) -> list[str]:
        """The columns that the reviewer added."""
        return _own(self.table.columns)

    def lines(self) -> list[int]:
        """The line of every row of `rows`."""
        return [int(line) for line in self.table[LINE].tolist()]


def read_decisions(path: Path, *, checked: bool = False) -> Decisions:
    """Read decisions.csv and check it line by line; a wrong line costs itself alone.

    Of two lines that contradict each other the first stands: a line that is added later, or that a merge puts below,
    never undoes unseen what was in force.

    Args:
        path: comma- or semicolon-separated, UTF-8, a header with at least sha256 and decision.
        checked: it is the copy that `write_decisions` made; the numbers of the lines are read from it.
    Returns:
        No rows where the file is absent or empty.
    Raises:
        DataError: it cannot be read at all: UTF-16, or without a header.
    """
    lines = split_lines(_text(path))
    blank = next((place for place, text in enumerate(lines) if text.strip()), len(lines))
    lines = lines[blank:]
    if not lines:
        return Decisions(_frame([], [], []))
    delimiter = ";" if ";" in lines[0] and "," not in lines[0] else ","  # as spreadsheets write it in half of Europe
    names = _header(path, _in_utf8(lines[0]), delimiter)
    own = _own(names)
    rows: list[dict[str, str]] = []
    places: list[int] = []
    problems: list[Problem] = []
    at = 1
    while at < len(lines):
        record = read_record(lines, at, delimiter)
        cells = [unguard(cell.replace("\r\n", "\n").strip()) for cell in record.cells]
        row = dict.fromkeys((*COLUMNS, *own), "") | dict(zip(names, cells, strict=False))
        row["sha256"] = row["sha256"].lower()
        fault = record.fault or _wrong_cells(cells, len(names)) or _wrong_bytes(row) or _wrong_value(row)
        line = int(row[LINE]) if checked and row.get(LINE, "").isdigit() else blank + at + 1
        if not any(cells) and not record.fault:
            at += record.lines
        elif fault:
            problems.append(Problem(line, *fault, text=_in_utf8(lines[at].rstrip("\r\n"))))
            at += 1  # not record.lines: an unclosed quote may have swallowed good lines
        else:
            rows.append(row)
            places.append(line)
            at += record.lines
    kept, contradictions = _without_contradictions(rows, places)
    problems = sorted([*problems, *contradictions], key=lambda problem: problem.line)
    return Decisions(_frame([rows[i] for i in kept], [places[i] for i in kept], own), tuple(problems))


def write_decisions(path: Path, decisions: Decisions) -> None:
    """Write the checked copy: the same decisions give the same bytes; the header alone where there are none.

    Args:
        path: usually `Files.decisions`; never the reviewer's own file.
        decisions: what `read_decisions` returned.
    """
    table = decisions.table.sort_values(["sha256", "issue", LINE])
    lines = [_line([guard("", str(name)) for name in table.columns])]
    lines += [_line([guard(name, str(row[name])) for name in table.columns]) for row in table.to_dict("records")]
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # or it would leave a cell with a bare \r without quotes
    return text.getvalue().removesuffix("\r\n")


def _text(path: Path) -> str:
    """What the file holds; bytes that are not UTF-8 as lone surrogates, so that they cost their own line alone."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise DataError(
            str(path), expected="a CSV file", received=str(error), action="Look at the path and its permissions."
        ) from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content.split(b"\n", 1)[0]:
        raise DataError(
            str(path), expected="a CSV file in UTF-8", received="UTF-16, as some spreadsheets save it",
            action="Save it again as CSV (UTF-8).",
        )  # fmt: skip
    return content.decode("utf-8-sig", errors="surrogateescape")


def _in_utf8(text: str) -> str:
    """The text with \\xe9 for a byte that is not UTF-8."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _own(names: Iterable[str]) -> list[str]:
    return [name for name in names if name and name not in (*COLUMNS, LINE)]


def _header(path: Path, line: str, delimiter: str) -> list[str]:
    record = read_record([line], 0, delimiter)
    names = [unguard(cell.strip()) for cell in record.cells]
    absent = [name for name in _REQUIRED if name not in names]
    if absent or record.fault:
        raise DataError(
            str(path), expected=f"a first line with the columns {', '.join(COLUMNS)}",
            received=f"no {' and no '.join(absent or ['readable first line'])}", action="Correct the first line.",
        )  # fmt: skip
    return names


def _wrong_cells(cells: list[str], columns: int) -> tuple[str, str, str] | None:
    if len(cells) == columns or (len(cells) > columns and not any(cells[columns:])):
        return None
    action = "Correct the line; a cell that holds a comma stands in double quotes."
    return f"{columns} cells, as in the first line", f"{len(cells)}", action


def _wrong_bytes(row: Mapping[str, str]) -> tuple[str, str, str] | None:
    for name, cell in row.items():
        if (text := _in_utf8(cell)) != cell:
            action = "The line is not applied; type the cell again and save the file as CSV (UTF-8)."
            return "text in UTF-8", f"{name} in another encoding: '{_cut(text)}'", action
    return None


def _wrong_value(row: Mapping[str, str]) -> tuple[str, str, str] | None:
    decision, new_label, score = row["decision"], row["new_label"], row["score_seen"]
    if not _SHA256.fullmatch(row["sha256"]):
        return "a sha256 of 64 hexadecimal digits", _shown(row["sha256"]), "Copy it from manifest.parquet."
    if decision not in DECISIONS:
        return f"a decision of {', '.join(DECISIONS)}", _shown(decision), "Correct the line."
    if (decision == "relabel" and not new_label) or (decision in ("relabel", "keep_one") and new_label == NEW_CLASS):
        return "a class in new_label", f"{decision} with {_shown(new_label)}", "Name the class, or write keep."
    if new_label and new_label.splitlines() != [new_label]:
        return "a class on one line in new_label", _shown(new_label), "Write its name without line breaks."
    if decision == "merge_group" and not _SHA256.fullmatch(new_label.lower()):
        return "the sha256 of the other image in new_label", _shown(new_label), "Copy it from manifest.parquet."
    if decision == "merge_group" and new_label.lower() == row["sha256"]:
        return (
            "the sha256 of the other image in new_label",
            "that of the image itself",
            "Copy it from manifest.parquet.",
        )
    if decision not in ("relabel", "keep_one", "merge_group") and not _says_nothing_new(row):
        received = f"{decision} with {_shown(new_label)}"
        return "no new_label", received, "The line is not applied; write relabel, or leave new_label empty."
    if row["time"] and moment(row["time"]) is None:
        action = "Write it as 2026-11-21T15:04:05Z, or leave it empty."
        return "a time of ISO 8601", _shown(row["time"]), action
    if score and number(score) is None:
        return "a number in score_seen", _shown(score), "Correct it, or leave it empty."
    return None


def _says_nothing_new(row: Mapping[str, str]) -> bool:
    """Nothing stands in new_label, or a keep names the label that it keeps."""
    return not row["new_label"] or (row["decision"] == "keep" and row["new_label"] == row["label_seen"])


def moment(text: str) -> datetime | None:
    """A time of ISO 8601, taken for UTC where it names no zone; None where it is none."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def number(text: str) -> float | None:
    """A finite number; None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _without_contradictions(rows: list[dict[str, str]], places: list[int]) -> tuple[list[int], list[Problem]]:
    """Indices of the rows that stand, and a problem for each that an earlier line contradicts."""
    by_issue: dict[tuple[str, str], int] = {}
    by_claim: dict[tuple[str, str], tuple[str, int]] = {}
    kept, problems = [], []
    for index in sorted(range(len(rows)), key=places.__getitem__):
        row = rows[index]
        claims = {(row["sha256"], what): value for what, value in _claims(row).items()}
        rivals = [by_claim[key][1] for key, value in claims.items() if by_claim.get(key, (value,))[0] != value]
        rival = by_issue.get((row["sha256"], row["issue"]), min(rivals, default=None))
        if rival is None:
            by_issue[row["sha256"], row["issue"]] = index
            by_claim |= {key: (value, index) for key, value in claims.items() if key not in by_claim}
            kept.append(index)
            continue
        stands, line = places[rival], places[index]
        received = (
            f"{_words(rows[rival])} in line {stands} and {_words(row)} in line {line}, both for {row['sha256'][:12]}…"
        )
        action = f"Line {stands} stands, line {line} is not applied; remove the wrong one."
        text = _line([guard(name, row[name]) for name in row if name not in (LINE, "")])
        problems.append(Problem(line, "one decision about one image", received, action, text=text))
    return kept, problems


def _claims(row: Mapping[str, str]) -> dict[str, str]:
    """What a decision says of an image; two that say different things of the same contradict each other."""
    decision, new_label, whole = row["decision"], row["new_label"], not row["issue"]
    claims: dict[str, str] = {}
    if decision == "exclude":
        claims["use"] = "no"
    elif decision in ("relabel", "keep_one") or (decision == "keep" and whole):
        claims["use"] = "yes"
    if decision == "relabel" or (decision == "keep_one" and new_label):
        claims["label"] = new_label.removeprefix(NEW_CLASS).strip()
    elif decision == "keep" and (whole or row["issue"] == SUSPECT_LABEL):
        claims["label"] = ""
    if decision in ("keep_one", "split_group"):
        claims["copy"] = decision
    return claims


def _words(row: Mapping[str, str]) -> str:
    label = f" {_shown(row['new_label'])}" if row["new_label"] else ""
    return f"{row['decision']}{label}{' about ' + row['issue'] if row['issue'] else ''}"


def _shown(text: str) -> str:
    return repr(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _frame(rows: list[dict[str, str]], places: list[int], own: list[str]) -> pd.DataFrame:
    columns = {name: pd.Series([row[name] for row in rows], dtype="str") for name in (*COLUMNS, *own)}
    return pd.DataFrame(columns | {LINE: pd.Series(places, dtype="int64")})
