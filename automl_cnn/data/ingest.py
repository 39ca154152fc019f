"""From the analyst's folder to manifest.parquet and the store of decoded images."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from automl_cnn.artifacts import ISSUES, MANIFEST, Files, read_table, replacing_folder, write_table
from automl_cnn.config import DataParams
from automl_cnn.data.decode_pool import Decoded, DecodeSettings, FileFacts, decode_files
from automl_cnn.data.issues import findings_table
from automl_cnn.data.manifest import NOT_STORED, build_manifest
from automl_cnn.data.reuse import Previous, find_previous, remember, stamp
from automl_cnn.data.scan import Scan, scan
from automl_cnn.data.store import StoreWriter
from automl_cnn.errors import ArtifactError, DataError
from automl_cnn.progress import Progress, silent


@dataclass(frozen=True)
class IngestSummary:
    """What an ingest found and did.

    Attributes:
        by_status: number of images by status; ok first, then by number.
        by_class: number of images by label, broken ones included.
        ignored: number of sidecar files by extension.
        notes: what an analyst should know beside that, a sentence each.
        decoded: files read and decoded by this run.
        reused: files taken over from the run before.
        seconds: wall-clock time.
    """

    by_status: dict[str, int]
    by_class: dict[str, int]
    ignored: dict[str, int]
    notes: tuple[str, ...]
    decoded: int
    reused: int
    seconds: float

    def lines(self) -> list[str]:
        """The summary for a screen, a fact a line."""
        total = sum(self.by_status.values())
        rate = f" ({self.decoded / self.seconds:,.0f}/s)" if self.decoded and self.seconds else ""
        found = [
            f"{total:,} images: {_count(self.by_status)}",
            f"{len(self.by_class)} classes: {_count(self.by_class)}",
            f"decoded {self.decoded:,}{rate}, reused {self.reused:,}, {self.seconds:.1f} s",
        ]
        if self.ignored:
            found.append(f"ignored beside the images: {_count(self.ignored)}")
        return [*found, *(f"note: {note}" for note in self.notes)]


def ingest(
    params: DataParams, files: Files, cache: Path, progress: Progress = silent, workers: int | None = None
) -> IngestSummary:
    """Find, check and decode every image; write the manifest, the store and what the scan found odd.

    Args:
        params: the data section of params.yaml.
        files: where manifest, store and scan issues go.
        cache: the project's cache folder; ingest/ in it remembers which files have not changed.
        progress: told of every decoded file.
        workers: number of decoding processes; None: one a core.
    Returns:
        What was found. An unchanged folder writes nothing and decodes nothing.
    Raises:
        DataError: as `scan` raises; no image can be decoded; group_column does not exist; a worker process died.
    """
    started = time.perf_counter()
    labels = Path(params.labels) if params.labels is not None else None
    found = scan(Path(params.root), labels, params.label_column)
    _require_group_column(params, found)
    settings = DecodeSettings(params.working_size_px, params.resize, params.max_megapixels)
    stamps = {
        entry.path: state
        for entry in found.entries
        if entry.fault is None and (state := stamp(found.root / entry.path)) is not None
    }
    before = find_previous(files, cache, settings)
    known = before.unchanged(stamps) if before is not None else {}
    new = [entry.path for entry in found.entries if entry.fault is None and entry.path not in known]

    if before is not None and not new and _is_whole_store(before, known):
        facts, store_rows = [], []
        for entry in found.entries:
            fact, row = known[entry.path] if entry.fault is None else (FileFacts(*entry.fault), NOT_STORED)
            facts.append(fact)
            store_rows.append(row)
        digest = before.store.digest
    else:
        with closing(decode_files(found.root, new, settings, workers)) as decoded:
            reported = _reported(decoded, len(new), progress)
            facts, store_rows, digest = _write_store(found, settings, files.images, before, known, reported)

    manifest = build_manifest(found, facts, store_rows)
    same_manifest = before is not None and manifest.equals(before.manifest)
    if not same_manifest:
        write_table(files.manifest, manifest, MANIFEST)
    ids = dict(zip(manifest["path"].tolist(), manifest["image_id"].tolist(), strict=True))
    _write_if_changed(files.scan_issues, findings_table(found.findings, ids))
    if before is None or not same_manifest or before.store.digest != digest or before.stamps != stamps:
        remember(files, cache, settings, digest, stamps)
    return IngestSummary(
        by_status=_ranked([fact.status for fact in facts], first="ok"),
        by_class=_ranked([entry.label for entry in found.entries]),
        ignored=found.ignored,
        notes=(*found.notes, *_further(found)),
        decoded=len(new),
        reused=len(known),
        seconds=time.perf_counter() - started,
    )


def _require_group_column(params: DataParams, found: Scan) -> None:
    known = [*found.columns, *MANIFEST.columns]
    if params.group_column is not None and params.group_column not in known:
        present = ", ".join(found.columns) or (
            "no further columns" if params.labels else "no CSV (data.labels is null)"
        )
        raise DataError(
            "data.group_column", expected="a column of the label CSV",
            received=f"'{params.group_column}'; there {'is' if not found.columns else 'are'} {present}",
            action="Set data.labels and data.group_column in params.yaml, or data.group_column to null.",
        )  # fmt: skip


def _is_whole_store(before: Previous, known: dict[str, tuple[FileFacts, int]]) -> bool:
    """Whether the images that are kept are the store's, all of them, in their order."""
    rows = [known[path][1] for path in sorted(known)]
    return [row for row in rows if row != NOT_STORED] == list(range(len(before.store)))


def _reported(decoded: Iterator[Decoded], total: int, progress: Progress) -> Iterator[Decoded]:
    """Pass files on and say how many there have been, and how many gave no picture."""
    broken = 0
    for done, (facts, pixels) in enumerate(decoded, start=1):
        broken += pixels is None
        progress("decode", done, total, f"{broken:,} not readable" if broken else "")
        yield facts, pixels


def _write_store(
    found: Scan,
    settings: DecodeSettings,
    folder: Path,
    before: Previous | None,
    known: dict[str, tuple[FileFacts, int]],
    decoded: Iterator[Decoded],
) -> tuple[list[FileFacts], list[int], str]:
    """Write a new store from new files and, for the others, the pixels of the store before.

    Returns:
        Facts and store row of each entry, and the store's digest.
    """
    facts: list[FileFacts] = []
    store_rows: list[int] = []
    with replacing_folder(folder) as temporary, StoreWriter(temporary, settings.size_px, settings.resize) as store:
        for entry in found.entries:
            pixels = None
            if entry.fault is not None:
                fact = FileFacts(*entry.fault)
            elif before is not None and entry.path in known:
                fact, row = known[entry.path]
                pixels = before.store.read(np.array([row]))[0] if row != NOT_STORED else None
            else:
                fact, pixels = next(decoded)
            facts.append(fact)
            store_rows.append(store.add(pixels) if pixels is not None else NOT_STORED)
        if store.count == 0:
            raise _nothing_decoded(found, facts)
    return facts, store_rows, store.digest


def _write_if_changed(path: Path, findings: pd.DataFrame) -> None:
    try:
        if read_table(path, ISSUES).equals(findings):
            return
    except ArtifactError:
        pass  # none there yet, or a damaged one: it is written anew
    write_table(path, findings, ISSUES)


def _further(found: Scan) -> list[str]:
    """What needs a look and is not among the scan's notes, in one sentence."""
    noted = ("empty_class", "class_names_alike")
    counts = Counter(one.issue for one in found.findings if one.severity != "info" and one.issue not in noted)
    return [f"links and names that need a look: {_count(dict(sorted(counts.items())))}"] if counts else []


def _nothing_decoded(found: Scan, facts: list[FileFacts]) -> DataError:
    example = f"such as '{found.entries[0].path}': {facts[0].error}"
    return DataError(
        "data.root", expected="images that can be decoded",
        received=f"'{found.root}' with {_count(_ranked([fact.status for fact in facts]))}, {example}",
        action="Check that the paths start from data.root, and that the files are JPEG, PNG or the like.",
    )  # fmt: skip


def _ranked(names: list[str], first: str = "") -> dict[str, int]:
    """Count names, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda item: (item[0] != first, -item[1], item[0])))


def _count(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())
