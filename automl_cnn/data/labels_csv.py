"""The analyst's label CSV: every line checked, all wrong lines in one error."""

from __future__ import annotations

import csv
import io
import posixpath
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from automl_cnn.artifacts import MANIFEST
from automl_cnn.errors import DataError

_NAMED_IN_ERRORS = 5


@dataclass(frozen=True)
class Listed:
    """One line: path (normalised, relative, Unicode form C), label, further columns, and where it stands."""

    path: str
    label: str
    metadata: dict[str, str]
    line: int


def read_labels(labels: Path, label_column: str) -> tuple[list[Listed], tuple[str, ...], list[str]]:
    """Read path, label and further columns; every value stays text.

    Args:
        labels: comma, semicolon or tab separated, UTF-8 with or without a byte order mark.
        label_column: name of the label column.
    Returns:
        The lines, the names of the further columns, and notes for the analyst.
    Raises:
        DataError: the file is missing, not UTF-8, has no such columns, or lines that are ragged, empty, doubled or
            lead out of the folder; the first few of each are named.
    """
    rows = _rows(labels)
    header = [name.strip() for name in rows[0][1]] if rows else []
    _check_header(labels, header, label_column)
    listed, problems = _check_rows(rows[1:], header, label_column)
    if problems:
        more = f"; and {len(problems) - _NAMED_IN_ERRORS:,} more" if len(problems) > _NAMED_IN_ERRORS else ""
        raise _error(
            labels, "one path inside data.root and one label a line", "; ".join(problems[:_NAMED_IN_ERRORS]) + more,
            "Correct these lines.",
        )  # fmt: skip
    columns = tuple(name for name in header if name and name not in ("path", label_column))
    notes = [f"{labels.name}: columns without a name are left out"] if "" in header else []
    return listed, columns, notes


def _rows(labels: Path) -> list[tuple[int, list[str]]]:
    """Line number and cells of every line that is not blank."""
    try:
        text = labels.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise _error(
            labels, "the label CSV", "none there", "Set data.labels in params.yaml, or to null for class folders."
        ) from None
    except OSError as error:
        raise _error(labels, "a readable CSV", str(error.strerror), "Check the path and its permissions.") from None
    except UnicodeDecodeError as error:
        received = f"byte {error.object[error.start]:#04x} at position {error.start:,}"
        raise _error(labels, "UTF-8 text", received, "Save it again as CSV UTF-8.") from None
    header = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise _error(labels, "a CSV", f"line {reader.line_num}: {error}", "Check the quotes in that line.") from None


def _check_header(labels: Path, header: list[str], label_column: str) -> None:
    present = ", ".join(header) if header else "an empty file"
    if label_column == "path":
        raise _error(labels, "a label column beside path", "data.label_column: path", "Set data.label_column.")
    if absent := [name for name in ("path", label_column) if name not in header]:
        raise _error(
            labels, f"the column{'s' if len(absent) > 1 else ''} {' and '.join(absent)}", present,
            "Rename the columns, or set data.label_column in params.yaml.",
        )  # fmt: skip
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise _error(labels, "columns of different names", f"{twice[0]} twice", "Rename one of them.")
    taken = (set(MANIFEST.columns) & set(header)) - {"path", label_column}
    if taken:
        raise _error(
            labels, "further columns under names that the manifest does not use", ", ".join(sorted(taken)),
            "Rename them in the CSV.",
        )  # fmt: skip


def _check_rows(
    rows: list[tuple[int, list[str]]], header: list[str], label_column: str
) -> tuple[list[Listed], list[str]]:
    listed: list[Listed] = []
    problems: list[str] = []
    first_line: dict[str, int] = {}
    for line, cells in rows:
        if len(cells) != len(header):
            problems.append(f"line {line} ({len(cells)} values under {len(header)} columns)")
            continue
        values = dict(zip(header, cells, strict=True))
        given, label = values.pop("path"), unicodedata.normalize("NFC", values.pop(label_column).strip())
        values.pop("", None)
        path = _relative(given)
        if path is None:
            problems.append(
                f"line {line} ({'an empty path' if not given.strip() else repr(given) + ' leaves data.root'})"
            )
        elif not label:
            problems.append(f"line {line} (an empty label for {given!r})")
        elif path in first_line:
            problems.append(f"line {line} ({given!r} again, after line {first_line[path]})")
        else:
            first_line[path] = line
            listed.append(Listed(path, label, values, line))
    return listed, problems


def _relative(given: str) -> str | None:
    """The path below the root, POSIX, without `.` and `..`; None where it is empty, absolute or leads out.

    Backslashes count as slashes: such CSVs come from Windows, and images with a backslash in their name do not.
    """
    if not given.strip() or "\0" in given or PureWindowsPath(given).drive or given[0] in "/\\":
        return None
    path = posixpath.normpath(unicodedata.normalize("NFC", given.replace("\\", "/")))
    return None if path in (".", "..") or path.startswith("../") else path


def _error(labels: Path, expected: str, received: str, action: str) -> DataError:
    return DataError(str(labels), expected=expected, received=received, action=action)
