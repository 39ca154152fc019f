"""What is judged: the images of the locked test split, and what is known of them beside their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import MANIFEST, PROPERTIES, SPLITS, Files, read_json, read_table
from automl_cnn.errors import ArtifactError


@dataclass(frozen=True)
class LockedSplit:
    """The test side of the split.

    Attributes:
        rows: image_id, path, label, group and store_row, one row an image.
        labels: int64 [n], indices of classes.
        groups: int64 [n], 0 … groups − 1, every value present.
        facts: n rows: what the manifest says of the file, and what the audit measured of the picture.
        columns: n rows, the columns of the user's CSV.
    """

    rows: pd.DataFrame
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    facts: pd.DataFrame
    columns: pd.DataFrame


def read_locked_split(files: Files, class_names: list[str]) -> LockedSplit:
    """Read the test split.

    Args:
        files: where the manifest, the split and the audit's properties lie.
        class_names: in the order of the labels.
    Raises:
        ArtifactError: a file is missing, or two of them disagree (classes, images).
    """
    manifest = read_table(files.manifest, MANIFEST)
    rows = _test_rows(files, manifest, class_names)
    measured = read_table(files.audit / "properties.parquet", PROPERTIES)
    told = manifest.set_index("image_id").loc[rows["image_id"]].reset_index(drop=True)
    facts = (
        rows[["image_id"]]
        .merge(measured, on="image_id", how="left")
        .assign(format=told["format"], camera=told["camera"])
    )
    return LockedSplit(
        rows=rows,
        labels=np.array([class_names.index(label) for label in rows["label"]], dtype=np.int64),
        groups=pd.factorize(rows["group"])[0].astype(np.int64),
        facts=facts,
        columns=told[[name for name in told.columns if name not in MANIFEST.columns]],
    )


def find_rungs(folder: Path) -> tuple[str, str]:
    """Name of the shipped rung and file name of the float32 one."""
    path = folder / "ladder.json"
    ladder = read_json(path)
    shipped = [rung["rung"] for rung in ladder if rung.get("shipped")]
    twins = [rung["path"] for rung in ladder if rung["rung"] == "float32" and rung.get("path")]
    if len(shipped) != 1 or len(twins) != 1:
        raise ArtifactError(
            str(path),
            expected="one shipped rung and a float32 rung",
            received=f"{len(shipped)} shipped, {len(twins)} float32",
            action="Run the quantize stage again.",
        )
    return str(shipped[0]), Path(twins[0]).name


def _test_rows(files: Files, manifest: pd.DataFrame, class_names: list[str]) -> pd.DataFrame:
    """The test split with its rows in the store: image_id, path, label, group, store_row."""
    path = files.split / "splits.parquet"
    splits = read_table(path, SPLITS)
    test = splits.loc[splits["split"] == "test", ["image_id", "path", "label", "group"]]
    if test.empty:
        raise ArtifactError(
            str(path), expected="images in the test split", received="none", action="Raise split.ratios.test."
        )
    strangers = sorted(set(test["label"]) - set(class_names))
    if strangers:
        raise ArtifactError(
            str(files.quantized / "labels.txt"),
            expected="every class of the test split",
            received=f"none of {', '.join(strangers)}",
            action="The split is newer than the model: run `dvc repro`.",
        )
    rows = test.merge(manifest[["image_id", "store_row"]], on="image_id", how="left", validate="one_to_one")
    homeless = rows.loc[~(rows["store_row"] >= 0), "path"]
    if len(homeless):
        raise ArtifactError(
            str(files.manifest),
            expected="every image of the test split in the store",
            received=f"{len(homeless)} without, {homeless.iloc[0]} first",
            action="The manifest is newer than the split: run `dvc repro`.",
        )
    return rows
