"""Log what a model answers: rows are safe as soon as `append` returns, and end up in parquet files.

A folder holds, a file each of one process at a time:

    2026-11-22T08-15-00.123456Z-4711-9f2c.lines     rows as they come, one line of JSON each
    2026-11-22T07-15-00.004821Z-4711-03ab.parquet   a line file that was full, packed; the line file is gone
    labels.parquet                                  true labels that arrived later (monitor/labels.py)

Whoever writes holds a lock on its line file, and the lock ends with the process, however it ends. Line files without a
lock were left by a crash or could not be packed: the next writer packs them, and so does the next rotation. A parquet
file bears the name of its line file, so that a crash between packing and removal counts no row twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from automl_cnn.artifacts import replacing
from automl_cnn.errors import ArtifactError
from automl_cnn.monitor.record import LogRecord, from_lines, to_line

LINES, PACKED = ".lines", ".parquet"
LABELS_FILE = "labels.parquet"
_log = logging.getLogger(__name__)


class PredictionLog:
    """Appends to a folder that several processes and threads may log to at once.

    Args:
        folder: made where it is missing.
        rotate_rows: rows after which a line file is packed into parquet.
        rotate_minutes: age after which the next append packs it, however few its rows.
    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, rotate_rows: int = 10_000, rotate_minutes: float = 60.0) -> None:
        self.folder, self._rotate_rows, self._rotate_s = folder, rotate_rows, 60 * rotate_minutes
        self._lock = threading.Lock()
        self._open: _LineFile | None = None
        folder.mkdir(parents=True, exist_ok=True)
        pack_abandoned(folder)

    def append(self, records: Sequence[LogRecord]) -> None:
        """Keep some records. When this returns they outlive a `kill -9`; a power cut may take the last seconds' rows.

        A line file that is full and cannot be packed, for want of space, stays as it is and is read as it is.

        Raises:
            OSError: the disk is full or the folder gone; none of these records is kept then.
            ValueError: a record is not as LogRecord says; none of these records is kept then.
        """
        lines = [to_line(record) for record in records]
        if not lines:
            return
        with self._lock:
            if self._open is not None and self._open.pid != os.getpid():
                self._open.leave()  # inherited over a fork: it belongs to the parent
                self._open = None
            if self._open is not None and self._open.age_s() > self._rotate_s:
                self._rotate()
            if self._open is None:
                self._open = _LineFile(self.folder)
            self._open.write(b"".join(lines), len(lines))
            if self._open.rows >= self._rotate_rows:
                self._rotate()

    def close(self) -> None:
        """Pack what is open, if it can be packed. The log may be appended to again afterwards."""
        with self._lock:
            self._rotate()

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _rotate(self) -> None:
        """Pack what is open, and what an earlier rotation could not pack. No row depends on it: a failure is told."""
        opened, self._open = self._open, None
        if opened is None:
            return
        if opened.pid != os.getpid():
            opened.leave()
            return
        try:
            opened.pack()
            pack_abandoned(self.folder)
        except Exception as error:  # noqa: BLE001 - whatever packing raises, the rows are in the line file
            _log.error("log not packed: %s", error)


def pack_abandoned(folder: Path) -> list[Path]:
    """Pack the line files whose writer is gone. One that is damaged stays where it is; reading the log names it.

    Returns:
        The parquet files that were written.
    """
    written = []
    for path in sorted(folder.glob(f"*{LINES}")):
        with contextlib.suppress(OSError, ArtifactError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its writer lives
            if path.exists():  # another process may have packed it between the listing and the lock
                written.append(_pack(path))
    return written


def read_lines(path: Path) -> bytes:
    """Content of a line file, of which a torn last line is no part; nothing where it has been packed meanwhile."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]


class _LineFile:
    """One open line file and its lock."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.pid, self.rows, self._bytes, self._since = os.getpid(), 0, 0, time.monotonic()
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
        self._path = folder / f"{stamp}-{self.pid}-{secrets.token_hex(4)}{LINES}"
        # Locked before it has its name: a file that others can see is never without a lock while its writer lives.
        hidden = folder / f".{self._path.name}.tmp"
        self._file = hidden.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        hidden.rename(self._path)

    def age_s(self) -> float:
        return time.monotonic() - self._since

    def write(self, content: bytes, rows: int) -> None:
        """All of it or nothing."""
        try:
            written = self._file.write(content)
            if written != len(content):
                raise OSError(f"{self._path}: {written} of {len(content)} bytes written; the disk is full")
        except OSError:
            self._file.truncate(self._bytes)
            self._file.seek(self._bytes)
            raise
        self._bytes += len(content)
        self.rows += rows

    def leave(self) -> None:
        """Let go of it without packing."""
        self._file.close()

    def pack(self) -> None:
        """Pack it, then let go of it."""
        with self._file:
            _pack(self._path)


def _pack(path: Path) -> Path:
    """Turn a line file into the parquet file of its name, then remove it. The caller holds its lock."""
    import pyarrow.parquet as pq

    packed = path.with_suffix(PACKED)
    if not packed.exists():
        try:
            table = from_lines(read_lines(path))
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(path, str(error)) from None
        if table.num_rows:
            with replacing(packed) as temporary:
                pq.write_table(table, temporary, compression="zstd")
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
    path.unlink()
    return packed


def damaged(path: Path, why: str) -> ArtifactError:
    """The error of a file of the log that cannot be read."""
    return ArtifactError(
        str(path), expected="a file that PredictionLog wrote", received=why, action="Move it out of the log's folder."
    )
