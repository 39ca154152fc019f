"""All that two runs are compared by, read from a folder of artifacts or from what MLflow holds of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_cnn.artifacts import PREDICTIONS, Files, read_json, read_table
from automl_cnn.audit.decisions import read_decisions
from automl_cnn.config import load_params
from automl_cnn.errors import ArtifactError
from automl_cnn.tracking.finished import PARAM_CHARS, flat_params, read_audit, read_images, table_digest

if TYPE_CHECKING:
    import pandas as pd

IMAGES = "data/images.parquet"  # of a run: the split with each image's digests


@dataclass(frozen=True)
class Snapshot:
    """A finished run.

    Attributes:
        name: what the user called it: a folder, a run, a version.
        place: what that is, for the output.
        params: key path → value as text; empty where a folder has no params.yaml.
        metrics: evaluation/metrics.json.
        images: image_id, path, label, group, split, sha256, pixel_sha.
        predictions: evaluation/predictions.parquet with the column pixel_sha.
        decisions: the reviewer's decisions in force: sha256, issue, decision, new_label.
        audit: audit/summary.json.
        data_digest, split_digest: as in `Finished`.
    """

    name: str
    place: str
    params: Mapping[str, str]
    metrics: Mapping[str, Any]
    images: pd.DataFrame
    predictions: pd.DataFrame
    decisions: pd.DataFrame
    audit: Mapping[str, Any]
    data_digest: str
    split_digest: str


def read_folder(folder: Path) -> Snapshot:
    """Read a folder of artifacts, or the project that holds one.

    Raises:
        ArtifactError: it holds no finished run.
        ConfigError: the params.yaml beside it is wrong.
    """
    files = Files(folder / "artifacts" if (folder / "artifacts").is_dir() else folder)
    if not (files.evaluation / "metrics.json").exists():
        raise ArtifactError(
            str(folder), expected="the artifacts of a finished run", received="no evaluation/metrics.json",
            action="Give a project or its artifacts/ after `automl-cnn run`.",
        )  # fmt: skip
    settings = files.root.resolve().parent / "params.yaml"
    params = flat_params(load_params(settings)) if settings.exists() else {}
    shown = {key: str(value)[:PARAM_CHARS] for key, value in params.items()}
    return assemble(str(folder), f"folder {folder}", shown, files, read_images(files))


def read_copy(name: str, place: str, params: Mapping[str, str], folder: Path) -> Snapshot:
    """Read what was downloaded of an MLflow run; its files lie there as under artifacts/.

    Raises:
        ArtifactError: the run was recorded by a release that stored less.
    """
    import pandas as pd

    for needed in (IMAGES, "evaluation/predictions.parquet", "evaluation/metrics.json"):
        if not (folder / needed).is_file():
            raise ArtifactError(
                place, expected=f"{needed} among its files", received="none",
                action="An earlier release recorded it: run `dvc repro --force register` in its project.",
            )  # fmt: skip
    return assemble(name, place, params, Files(folder), pd.read_parquet(folder / IMAGES))


def assemble(name: str, place: str, params: Mapping[str, str], files: Files, images: pd.DataFrame) -> Snapshot:
    """The parts that both kinds of folder share."""
    predictions = read_table(files.evaluation / "predictions.parquet", PREDICTIONS)
    decisions = read_decisions(files.decisions, checked=True).table
    return Snapshot(
        name=name,
        place=place,
        params=params,
        metrics=read_json(files.evaluation / "metrics.json"),
        images=images,
        predictions=predictions.merge(images[["image_id", "pixel_sha"]], on="image_id", how="left"),
        decisions=decisions[["sha256", "issue", "decision", "new_label"]],
        audit=read_audit(files),
        data_digest=table_digest(images[["image_id", "label", "pixel_sha"]]),
        split_digest=table_digest(images[["image_id", "group", "split"]]),
    )
