"""Decode many files with every core at hand, in order, a bounded number at a time."""

from __future__ import annotations

import hashlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.decode import DecodeError, decode
from automl_cnn.data.signatures import image_kind, unsupported_kind
from automl_cnn.errors import DataError

if TYPE_CHECKING:
    from automl_cnn.config import Resize

_CHUNK_FILES = 16  # 2.4 MB at 224 px, 50 MB at 1024
_INLINE_BELOW = 64  # two new processes take longer to start than this many files to decode
_MAX_FILE_BYTES = 2**31  # a larger file is hashed piecewise and not read into memory


@dataclass(frozen=True)
class DecodeSettings:
    """What decides about pixels, beside the files: as in the data section of params.yaml."""

    size_px: int
    resize: Resize
    max_megapixels: float


@dataclass(frozen=True)
class FileFacts:
    """What is known of one file; the names are the manifest's columns, empty or 0 where nothing could be known."""

    status: str
    error: str = ""
    sha256: str = ""
    pixel_sha: str = ""
    bytes: int = 0
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    exif_orientation: int = 0
    capture_time: str | None = None
    camera: str | None = None


Decoded = tuple[FileFacts, NDArray[np.uint8] | None]


def decode_files(
    root: Path, paths: list[str], settings: DecodeSettings, workers: int | None = None
) -> Generator[Decoded]:
    """Decode files in a pool of processes.

    Args:
        root: the folder that the paths start from.
        paths: relative, POSIX.
        settings: size, resize and limit.
        workers: number of processes; None: one a core. With 1, or few files, no process is started.
    Yields:
        Facts and pixels (None unless the status is ok) of each file, in the order of `paths`. Close the generator when
        it is left early, so that its processes end.
    Raises:
        DataError: a worker process died, which the system does when memory runs out.
    """
    workers = workers or available_cpus()
    chunks = [paths[start : start + _CHUNK_FILES] for start in range(0, len(paths), _CHUNK_FILES)]
    if workers == 1 or len(paths) < _INLINE_BELOW:
        for path in paths:
            yield decode_file(root, path, settings)
        return
    # Spawned, not forked: the parent draws its progress from a thread, and a fork would copy that thread's locks.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context, initializer=_start_worker)
    delivered = 0
    with tempfile.TemporaryDirectory(prefix="automl-cnn-") as folder:
        try:
            waiting: deque[Future[Path]] = deque()
            for number, chunk in enumerate(chunks):
                waiting.append(pool.submit(_decode_chunk, root, chunk, settings, Path(folder) / str(number)))
                if len(waiting) > workers + 2:
                    results = _collect(waiting.popleft())
                    delivered += len(results)
                    yield from results
            for future in waiting:
                results = _collect(future)
                delivered += len(results)
                yield from results
        except BrokenProcessPool:
            raise _worker_died(paths[delivered]) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def available_cpus() -> int:
    """Cores that this process may use, which in a container or under taskset are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_file(root: Path, path: str, settings: DecodeSettings) -> Decoded:
    """Read, hash and decode one file; a file that gives no picture gives a status and a reason."""
    try:
        with (root / path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _MAX_FILE_BYTES:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                return FileFacts("too_large", f"{size / 2**30:.1f} GiB in one file", sha256, bytes=size), None
            content = file.read()
    except FileNotFoundError:
        return FileFacts("missing", "the file does not exist"), None
    except OSError as error:
        return FileFacts("unreadable", error.strerror or str(error)), None
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        image = decode(content, settings.size_px, settings.resize, settings.max_megapixels)
    except DecodeError as error:
        return FileFacts(error.status, error.reason, sha256, bytes=len(content), format=_kind(content)), None
    facts = FileFacts(
        "ok", "", sha256, image.pixel_sha, len(content), image.format, image.mode, image.width, image.height,
        image.frames, image.exif_orientation, image.capture_time, image.camera,
    )  # fmt: skip
    return facts, image.pixels


def _kind(content: bytes) -> str:
    """The format that the bytes of a file without a picture claim; empty where they claim none."""
    other = unsupported_kind(content)
    return image_kind(content) or (other[0] if other is not None else "")


def _decode_chunk(root: Path, paths: list[str], settings: DecodeSettings, target: Path) -> Path:
    """Decode into a file and return its path alone.

    A worker that is killed while megabytes are in the pool's pipe leaves the parent reading the rest for ever; a
    message this short is in the pipe as a whole or not at all.
    """
    with target.open("wb") as file:
        pickle.dump([decode_file(root, path, settings) for path in paths], file, protocol=5)
    return target


def _collect(future: Future[Path]) -> list[Decoded]:
    target = future.result()
    results: list[Decoded] = pickle.loads(target.read_bytes())  # noqa: S301  our own worker wrote it
    target.unlink()
    return results


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone: a killed parent cannot say goodbye."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _worker_died(path: str) -> DataError:
    return DataError(
        "ingest", expected="worker processes that live until the last image",
        received=f"one that the system ended, at '{path}' or one of the next files",
        action="Probably memory ran out: free some, or lower data.max_megapixels, and run again.",
    )  # fmt: skip
