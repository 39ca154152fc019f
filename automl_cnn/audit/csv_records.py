"""CSV as people and spreadsheets leave it: a record at a time, so that a damaged one takes no other with it."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_BEGINS_A_DECISION = re.compile(r"\s*\"?[0-9a-fA-F]{64}\"?\s*[,;]")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_LONGEST = 1000  # lines that one record may span: bounds the time that unclosed quotes cost
_NUMBERS = ("score_seen", "_line")


@dataclass(frozen=True)
class Record:
    """One record of the file.

    Attributes:
        cells: its cells; none where it is damaged.
        lines: how many lines it spans.
        fault: expected, received and what to do; None where it is well formed.
    """

    cells: tuple[str, ...]
    lines: int
    fault: tuple[str, str, str] | None = None


_DAMAGED = Record(
    (), 1,
    ("a line of well-formed CSV", "a double quote in the wrong place or not closed",
     "Correct the line; a double quote inside a cell is written twice."),
)  # fmt: skip


def split_lines(text: str) -> list[str]:
    """Lines with their ends, which are \\n, \\r\\n or \\r and nothing else: a form feed may stand in a note."""
    return _LINE.findall(text)


def read_record(lines: list[str], at: int, delimiter: str) -> Record:
    """Read the record that begins at `lines[at]`; a quoted cell may span lines."""
    reader = csv.reader(
        lines[at : at + _LONGEST] if '"' in lines[at] else [lines[at]], delimiter=delimiter, strict=True
    )
    try:
        cells = next(reader, [])
    except csv.Error:
        return _DAMAGED
    swallowed = lines[at + 1 : at + reader.line_num]
    if any(_BEGINS_A_DECISION.match(line) for line in swallowed):
        return _DAMAGED
    return Record(tuple(cells), max(1, reader.line_num))


def guard(column: str, cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe before =, +, −, @ at its beginning."""
    return f"'{cell}" if column not in _NUMBERS and _FORMULA.match(cell) else cell


def unguard(cell: str) -> str:
    """What `guard` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell
