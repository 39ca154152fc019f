"""True labels that arrive after the answers: kept beside the log, joined by id when it is read."""

from __future__ import annotations

import csv
import fcntl
import io
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from automl_cnn.artifacts import replacing
from automl_cnn.errors import ArtifactError, DataError
from automl_cnn.monitor.log import LABELS_FILE
from automl_cnn.monitor.read import known_labels, read_log

COLUMNS = ("id", "label")
_LOCK = ".labels.lock"


@dataclass(frozen=True)
class Arrived:
    """What one CSV brought: labels in it; how many name an image of the log; how many were another before."""

    labels: int
    in_log: int
    changed: int


def add_labels(folder: Path, labels: Path) -> Arrived:
    """Take the true labels of a CSV into the log. One that is already known is replaced.

    Args:
        folder: of the log.
        labels: UTF-8 CSV with the columns id and label; others may stand beside them.
    Raises:
        DataError: the CSV or the folder is missing, has not the two columns, an empty cell, an id with two labels, or
            no id that is in the log. Nothing is kept then.
        ArtifactError: the log or the labels kept so far cannot be read, or the labels not be written.
    """
    arrived = _read_csv(labels)
    in_log = len(arrived.keys() & set(read_log(folder)["id"].to_pylist()))
    if not in_log:
        raise _bad(labels, f"none of {len(arrived):,} ids in the log, such as {next(iter(arrived), '')!r}")
    try:
        changed = _keep(folder, arrived)
    except OSError as error:
        raise ArtifactError(
            str(folder / LABELS_FILE), expected="a file that can be written", received=error.strerror or str(error),
            action="Run it as the user who writes the log, or without --labels.",
        ) from None  # fmt: skip
    return Arrived(len(arrived), in_log, changed)


def _keep(folder: Path, arrived: dict[str, str]) -> int:
    """Add labels to those kept so far; how many of them were others before."""
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = known_labels(folder / LABELS_FILE)
        changed = sum(name in known and known[name] != label for name, label in arrived.items())
        known |= arrived
        table = pa.table({"id": pa.array(known, pa.string()), "true_label": pa.array(known.values(), pa.string())})
        with replacing(folder / LABELS_FILE) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    return changed


def _read_csv(path: Path) -> dict[str, str]:
    """id → label; comma, semicolon or tab separated."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(path, "none there" if isinstance(error, FileNotFoundError) else str(error)) from None
    header = text.split("\n", 1)[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    try:
        return _labels_of(path, reader)
    except csv.Error as error:
        raise _bad(path, f"line {reader.line_num}: {error}") from None


def _labels_of(path: Path, reader: csv.DictReader[str]) -> dict[str, str]:
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise _bad(path, f"no column {' and '.join(missing)}")
    found: dict[str, str] = {}
    for row in reader:
        name, label = row["id"], unicodedata.normalize("NFC", (row["label"] or "").strip())
        if not name or not label:
            raise _bad(path, f"an empty cell in line {reader.line_num}")
        if found.setdefault(name, label) != label:
            raise _bad(path, f"two labels for {name!r}, the second in line {reader.line_num}")
    return found


def _bad(path: Path, received: str) -> DataError:
    return DataError(
        str(path), expected="a UTF-8 CSV with the columns id and label, an id of the log a line", received=received,
        action="Mend the file; the log's ids are those that `serve` answered with, or the paths given to `predict`.",
    )  # fmt: skip
