"""What the last ingest left behind, and which files have not changed since."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import PIL

from automl_cnn.artifacts import MANIFEST, Files, read_json, read_table, write_json
from automl_cnn.data.decode import DECODER_VERSION
from automl_cnn.data.decode_pool import DecodeSettings, FileFacts
from automl_cnn.data.manifest import known_facts
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import ArtifactError

Stamp = list[int]  # size in bytes, modification time and change time in nanoseconds, 1 where it may be read


@dataclass(frozen=True)
class Previous:
    """A finished earlier ingest whose results still lie where it left them."""

    manifest: pd.DataFrame
    store: ImageStore
    stamps: dict[str, Stamp]

    def unchanged(self, stamps: dict[str, Stamp]) -> dict[str, tuple[FileFacts, int]]:
        """Facts and store row of every file that has the stamp it had; after a disk's read error it is read again."""
        return {
            path: (facts, store_row)
            for path, (facts, store_row) in known_facts(self.manifest).items()
            if path in stamps and self.stamps.get(path) == stamps[path] and (facts.sha256 or not stamps[path][-1])
        }


def find_previous(files: Files, cache: Path, settings: DecodeSettings) -> Previous | None:
    """Load the last ingest; None unless its settings, its manifest and its store are the ones at hand.

    Args:
        files: where manifest and store lie.
        cache: the project's cache folder.
        settings: of the ingest that is about to run.
    """
    try:
        remembered = read_json(_record(cache))
        if not isinstance(remembered, dict) or remembered.get("settings") != _describe(settings):
            return None
        if remembered.get("manifest") != _file_digest(files.manifest):
            return None
        store = ImageStore.open(files.images)
        if remembered.get("store") != store.digest:
            return None
        return Previous(read_table(files.manifest, MANIFEST), store, remembered["files"])
    except (ArtifactError, OSError, KeyError):
        return None  # nothing to build on is not an error: everything is decoded again


def remember(files: Files, cache: Path, settings: DecodeSettings, store_digest: str, stamps: dict[str, Stamp]) -> None:
    """Record a finished ingest, so that the next one can build on it."""
    record = {"settings": _describe(settings), "store": store_digest, "manifest": _file_digest(files.manifest)}
    write_json(_record(cache), {**record, "files": stamps})


def stamp(path: Path) -> Stamp | None:
    """Tell one state of a file from another without reading it; None where it cannot be reached.

    The change time tells even a file that was replaced by one of equal size and modification time.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, int(os.access(path, os.R_OK))]


def _record(cache: Path) -> Path:
    return cache / "ingest" / "last.json"


def _describe(settings: DecodeSettings) -> str:
    limits = f"{settings.size_px} {settings.resize} {settings.max_megapixels!r}"
    return f"{limits} decoder {DECODER_VERSION} Pillow {PIL.__version__}"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
