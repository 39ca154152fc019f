"""Read a folder that PredictionLog writes to, also while it is written to, with the true labels known so far."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from automl_cnn.errors import DataError
from automl_cnn.monitor.log import LABELS_FILE, LINES, PACKED, damaged, read_lines
from automl_cnn.monitor.record import from_lines, log_schema


def read_log(folder: Path, since: datetime | None = None, until: datetime | None = None) -> pa.Table:
    """All rows of a log, in the order of their time.

    Args:
        folder: that PredictionLog was given.
        since: rows of this time and later, with its time zone.
        until: rows before this time.
    Returns:
        The columns of LogRecord and true_label (text; null where none has arrived). A sketch is float16 [k].
    Raises:
        DataError: there is no such folder.
        ArtifactError: one of its files cannot be read; names it.
    """
    if not folder.is_dir():
        raise DataError(
            str(folder), expected="the folder of a log", received="none there",
            action="Give the folder that `automl-cnn serve --log` or `predict --log` was given.",
        )  # fmt: skip
    stems = {path.stem for suffix in (LINES, PACKED) for path in folder.glob(f"[0-9]*{suffix}")}
    parts = [_read_part(folder / stem, since, until) for stem in sorted(stems)]
    table = pa.concat_tables([log_schema().empty_table(), *parts]).sort_by("time")
    return table.append_column("true_label", _true_labels(table["id"], known_labels(folder / LABELS_FILE)))


def known_labels(path: Path) -> dict[str, str]:
    """id → true label, of all that have arrived.

    Raises:
        ArtifactError: the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path, columns=["id", "true_label"])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise damaged(path, str(error)) from None
    return dict(zip(table["id"].to_pylist(), table["true_label"].to_pylist(), strict=True))


def _read_part(stem: Path, since: datetime | None, until: datetime | None) -> pa.Table:
    """One file: packed, still open, or packed between the look and the reading."""
    packed, lines = stem.parent / f"{stem.name}{PACKED}", stem.parent / f"{stem.name}{LINES}"
    for _ in range(2):
        try:
            if packed.exists():
                table = pq.read_table(packed, filters=_between(since, until))
                return table.select(log_schema().names).cast(log_schema())
            if lines.exists():
                content = read_lines(lines)
                if content or not packed.exists():
                    table = from_lines(content)
                    return table if _between(since, until) is None else table.filter(_between(since, until))
        except (ValueError, KeyError, TypeError, OSError, pa.ArrowException) as error:
            raise damaged(packed if packed.exists() else lines, str(error)) from None
    return log_schema().empty_table()


def _between(since: datetime | None, until: datetime | None) -> Any:
    """The filter of a time span, or None."""
    time = pc.field("time")
    bounds = [time >= pa.scalar(since, pa.timestamp("us", tz="UTC"))] if since else []
    bounds += [time < pa.scalar(until, pa.timestamp("us", tz="UTC"))] if until else []
    return None if not bounds else bounds[0] if len(bounds) == 1 else bounds[0] & bounds[1]


def _true_labels(ids: pa.ChunkedArray, known: dict[str, str]) -> pa.Array:
    return pa.array([known.get(name) for name in ids.to_pylist()], pa.string())
