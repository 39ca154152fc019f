"""The manifest: one row an image, in the order of the paths, the same bytes for the same data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields

import pandas as pd

from automl_cnn.artifacts import MANIFEST
from automl_cnn.data.decode_pool import FileFacts
from automl_cnn.data.names import nfc
from automl_cnn.data.scan import Scan

NOT_STORED = -1
_NUMBERS = ("bytes", "width", "height", "frames", "exif_orientation", "store_row")


def image_id(path: str) -> str:
    """Name an image by its relative path, however the system spells its accents: 16 hexadecimal digits."""
    return _digest(nfc(path))


def image_ids(paths: Sequence[str]) -> list[str]:
    """Name all images of a set; of paths that differ in Unicode form only, one is named as ever."""
    forms = Counter(nfc(path) for path in paths)
    return [image_id(path) if forms[nfc(path)] == 1 or path == nfc(path) else _digest(path) for path in paths]


def build_manifest(found: Scan, facts: Sequence[FileFacts], store_rows: Sequence[int]) -> pd.DataFrame:
    """Put together what the scan and the decoder found.

    Args:
        found: the entries, sorted by path.
        facts: one a entry.
        store_rows: one a entry; −1 where the image is not in the store.
    Returns:
        The columns of MANIFEST, then those of the CSV; numbers are int64, everything else is text.
    """
    columns: dict[str, list[object]] = {
        "image_id": [*image_ids([entry.path for entry in found.entries])],
        "path": [entry.path for entry in found.entries],
        "label": [entry.label for entry in found.entries],
        "store_row": list(store_rows),
        **{name: [getattr(fact, name) for fact in facts] for name in _fact_columns()},
        **{name: [entry.metadata[name] for entry in found.entries] for name in found.columns},
    }
    ordered = [*MANIFEST.columns, *found.columns]
    return pd.DataFrame({
        name: pd.Series(columns[name], dtype="int64" if name in _NUMBERS else "str") for name in ordered
    })  # fmt: skip


def known_facts(manifest: pd.DataFrame) -> dict[str, tuple[FileFacts, int]]:
    """Facts and store row by path, out of a manifest that `build_manifest` made."""
    names = _fact_columns()
    values = {name: manifest[name].tolist() for name in names}
    for name in ("capture_time", "camera"):
        values[name] = [None if pd.isna(value) else value for value in values[name]]
    rows = zip(manifest["path"].tolist(), manifest["store_row"].tolist(), *values.values(), strict=True)
    return {path: (FileFacts(**dict(zip(names, row, strict=True))), store_row) for path, store_row, *row in rows}


def _fact_columns() -> list[str]:
    return [field.name for field in fields(FileFacts)]


def _digest(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:16]
