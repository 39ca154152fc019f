"""What lies in the cache folder, and how to make room: behind `automl-cnn cache`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from automl_cnn.features.frozen import ENGINE_VERSION

DAY_SECONDS = 86_400
_UNFINISHED_SECONDS = 3_600  # a temporary file this old belongs to a process that was killed


@dataclass(frozen=True)
class Entry:
    """Something in the cache that is kept or removed as a whole.

    Attributes:
        kind: engine, features, digests, training, search, files or left over.
        name: engine key, engine key and view, or path in the cache folder.
        path: the file or folder.
        files: number of files; for features, of shards.
        bytes: on disk.
        last_used: seconds since 1970.
    """

    kind: str
    name: str
    path: Path
    files: int
    bytes: int
    last_used: float


def inventory(folder: Path) -> list[Entry]:
    """Everything in a cache folder, by kind and name; empty where there is no folder."""
    entries = [*_engines(folder), *_features(folder), *_others(folder), *_left_over(folder)]
    return sorted(entries, key=lambda entry: (_KINDS.index(entry.kind), entry.name))


def prune(folder: Path, keep_days: float | None = None, everything: bool = False) -> list[Entry]:
    """Remove what was not used for long, and always what nobody will use again.

    Files of killed processes, damaged shards and caches of an earlier layout go in any case. Nothing that is removed
    is lost: it is computed anew when it is wanted. A process that fills the cache meanwhile goes on.

    Args:
        folder: the cache folder.
        keep_days: what was used since then stays; None: all that is in order stays.
        everything: empty the folder.
    Returns:
        What was removed.
    """
    oldest = time.time() - DAY_SECONDS * keep_days if keep_days is not None else float("-inf")
    removed = [
        entry for entry in inventory(folder) if everything or entry.kind == "left over" or entry.last_used < oldest
    ]
    for entry in removed:
        if entry.path.is_dir():
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            entry.path.unlink(missing_ok=True)
    for network in (folder / "features").glob("*/"):
        with suppress(OSError):  # it holds another view
            network.rmdir()
    return removed


def describe(entries: list[Entry]) -> list[str]:
    """Entries as the lines of a table, with what they take in all; one line where there are none."""
    if not entries:
        return ["The cache is empty."]
    rows = [("kind", "what", "files", "size", "last used")]
    rows += [(entry.kind, entry.name, f"{entry.files:,}", megabytes(entry.bytes), _day(entry)) for entry in entries]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        f"{kind:<{widths[0]}}  {name:<{widths[1]}}  {files:>{widths[2]}}  {size:>{widths[3]}}  {used}"
        for kind, name, files, size, used in rows
    ]
    networks = {name for entry in entries if entry.kind == "features" for name in entry.name.split()[:1]}
    total = megabytes(sum(entry.bytes for entry in entries))
    return [*lines, f"{total} in all, features of {len(networks)} network{'' if len(networks) == 1 else 's'}"]


def megabytes(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e6:,.1f} MB"


def _day(entry: Entry) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))


_KINDS = ("engine", "features", "digests", "search", "training", "files", "left over")
_FOLDERS = {"digests": "digests", "search": "search", "train": "training"}
"""Folder in the cache → kind of what lies in it; other folders and files are shown as `files`."""


def _engines(folder: Path) -> Iterator[Entry]:
    for path in (folder / "engines").glob("*.tflite"):
        yield _entry(_kind("engine", path.stem), path.stem, path)


def _features(folder: Path) -> Iterator[Entry]:
    for view in (folder / "features").glob("*/*/"):
        network = view.parent.name
        yield _entry(_kind("features", network), f"{network} {view.name}", view, lambda path: path.suffix == ".npz")


def _kind(kind: str, engine_name: str) -> str:
    """Engines of an earlier release are asked for by nobody, and neither are their features."""
    return kind if engine_name.endswith(f"-v{ENGINE_VERSION}") else "left over"


def _others(folder: Path) -> Iterator[Entry]:
    for path in folder.glob("*"):
        if path.name not in ("engines", "features"):
            yield _entry(_FOLDERS.get(path.name, "files"), path.name, path)


def _left_over(folder: Path) -> Iterator[Entry]:
    """Features as one .npy a request, of an earlier layout; shards set aside; files of processes that were killed."""
    for path in [*(folder / "features").glob("*.npy"), *(folder / "features").rglob("*.damaged")]:
        yield _entry("left over", str(path.relative_to(folder)), path)
    for path in folder.rglob(".*.tmp"):
        if path.is_file() and path.stat().st_mtime < time.time() - _UNFINISHED_SECONDS:
            yield _entry("left over", str(path.relative_to(folder)), path)


def _entry(kind: str, name: str, path: Path, belongs: Callable[[Path], bool] = Path.is_file) -> Entry:
    """Sum up a file, or the files of a folder that belong to it; the folder's own time counts as a use too."""
    files = [each for each in (path.rglob("*") if path.is_dir() else [path]) if belongs(each)]
    states = [each.stat() for each in files if each.exists()]
    used = max(state.st_mtime for state in [path.stat(), *states])
    return Entry(kind, name, path, len(files), sum(state.st_size for state in states), used)
