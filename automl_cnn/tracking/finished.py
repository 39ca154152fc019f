"""What a finished pipeline run was, read from its files alone: the part of the record that needs no MLflow."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automl_cnn.artifacts import MANIFEST, SPLITS, Files, read_json, read_table
from automl_cnn.config import Params
from automl_cnn.errors import ArtifactError
from automl_cnn.reference.record import REFERENCE
from automl_cnn.tflite_metadata import COMPANIONS

if TYPE_CHECKING:
    import pandas as pd

SIDES = ("train", "validation", "test")
PARAM_CHARS = 500  # of a value
SERVED = ("model.tflite", *COMPANIONS, REFERENCE)
MOST_CLASSES = 50  # of which scores a class are logged
_SCORED = ("test", "float", "difference", "out_of_distribution", "suspected_labels", "model")
_OF_A_CLASS = ("precision", "recall", "f1")
_NO_KEY = re.compile(r"[^\w.\- ]")  # MLflow refuses them in the name of a metric
_LABEL_CHARS = 200  # of the 250 of a name


@dataclass(frozen=True)
class Finished:
    """A pipeline run.

    Attributes:
        params: key path → value, presets filled in; where the record goes is left out, it may hold a password.
        metrics: evaluation/metrics.json.
        images: one row an image of the split: image_id, path, label, group, split, sha256, pixel_sha; by image_id.
        class_counts: side of the split → class → images.
        audit: audit/summary.json; empty where there is none.
        data_digest: of image_id (a digest of the path), label and pixels of every image, on whatever side of the split
            it stands; 32 hex digits, as the two below.
        split_digest: of which image stands on which side, in which group.
        content_digest: of the served files and their scores: the same results are recorded once.
    """

    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    images: pd.DataFrame
    class_counts: Mapping[str, Mapping[str, int]]
    audit: Mapping[str, Any]
    data_digest: str
    split_digest: str
    content_digest: str


def read_finished(params: Params, files: Files) -> Finished:
    """Read a run whose stages before register have ended.

    Raises:
        ArtifactError: an artifact is missing or damaged.
    """
    metrics = read_json(files.evaluation / "metrics.json")
    images = read_images(files)
    return Finished(
        params=flat_params(params),
        metrics=metrics,
        images=images,
        class_counts=count_classes(images),
        audit=read_audit(files),
        data_digest=table_digest(images[["image_id", "label", "pixel_sha"]]),
        split_digest=table_digest(images[["image_id", "group", "split"]]),
        content_digest=_content_digest(files, metrics),
    )


def flat_params(params: Params) -> dict[str, Any]:
    """All parameters but the tracking section, by key path."""
    return flatten(params.model_dump(mode="json", exclude={"tracking"}), intervals=False)


def read_images(files: Files) -> pd.DataFrame:
    """The split with each image's digests: what a data set is, without its pictures.

    Raises:
        ArtifactError: the split or the manifest is missing or damaged.
    """
    splits = read_table(files.split / "splits.parquet", SPLITS)[["image_id", "path", "label", "group", "split"]]
    manifest = read_table(files.manifest, MANIFEST)[["image_id", "sha256", "pixel_sha"]]
    return splits.merge(manifest, on="image_id", how="left").sort_values("image_id", ignore_index=True)


def count_classes(images: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images a class on each side that has any."""
    counted = {side: images.loc[images["split"] == side, "label"].value_counts().sort_index() for side in SIDES}
    return {side: {str(k): int(v) for k, v in counts.items()} for side, counts in counted.items() if len(counts)}


def read_audit(files: Files) -> dict[str, Any]:
    """audit/summary.json, or nothing where the audit did not run."""
    path = files.audit / "summary.json"
    return dict(read_json(path)) if path.exists() else {}


def audit_in_short(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Of the audit's summary the counts; the whole of it is a file of the run."""
    return {
        "images": audit.get("images", {}).get("by_status", {}),
        "issues": audit.get("issues", {}).get("by_kind", {}),
        "decisions": audit.get("decisions", {}).get("applied", {}),
        "label_conflicts": audit.get("duplicates", {}).get("label_conflicts"),
    }


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of metrics.json by key path; an interval gives two.

    Of each class there are precision, recall and F1 on the test split, as test.f1.<class>, if there are at most
    `MOST_CLASSES`; all else that is said of classes is left to the file.
    """
    flat = flatten({key: metrics[key] for key in _SCORED if key in metrics}, intervals=True)
    lines = metrics["test"].get("per_class", ())
    if len(lines) <= MOST_CLASSES:
        for name, line in zip(_class_keys([str(line["label"]) for line in lines]), lines, strict=True):
            flat |= {f"test.{score}.{name}": line[score] for score in _OF_A_CLASS}
    return {key: float(value) for key, value in flat.items() if is_number(value)}


def table_digest(table: pd.DataFrame) -> str:
    """32 hex digits over the rows; MLflow takes up to 36 characters."""
    return hashlib.sha256(table.to_csv(index=False, lineterminator="\n").encode()).hexdigest()[:32]


def flatten(value: Any, prefix: str = "", *, intervals: bool) -> dict[str, Any]:
    """Nested mappings as dotted keys; with `intervals` two numbers in a list become _low and _high."""
    if isinstance(value, Mapping):
        parts = [flatten(inner, f"{prefix}.{key}".lstrip("."), intervals=intervals) for key, inner in value.items()]
        return {key: inner for part in parts for key, inner in part.items()}
    if intervals and isinstance(value, list) and len(value) == 2 and all(is_number(part) for part in value):
        return {f"{prefix}_low": value[0], f"{prefix}_high": value[1]}
    return {prefix: value}


def is_number(value: Any) -> bool:
    """Whether MLflow can draw it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _class_keys(labels: Sequence[str]) -> list[str]:
    """Class names that may stand in the name of a metric; of several that come to the same the later have a number."""
    keys: dict[str, str] = {}  # without capitals, which some databases do not tell apart → as it is
    for label in labels:
        key = name = _NO_KEY.sub("_", label)[:_LABEL_CHARS]
        number = 1
        while name.casefold() in keys:
            number += 1
            name = f"{key} {number}"
        keys[name.casefold()] = name
    return list(keys.values())


def _content_digest(files: Files, metrics: Mapping[str, Any]) -> str:
    """Digest of the served files and their scores. Latency is left out: it differs each time it is measured."""
    digest = hashlib.sha256()
    for name in SERVED:
        path = files.quantized / name
        if not path.is_file():
            raise ArtifactError(str(path), expected="a file", received="none there", action="Run `dvc repro` first.")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    scores = flatten({key: metrics[key] for key in ("test", "float")}, intervals=True)
    digest.update(repr(sorted(scores.items(), key=lambda item: item[0])).encode())
    return digest.hexdigest()[:32]
