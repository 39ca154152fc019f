"""What the report says of the test split: scores, classes, confusion, calibration, mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from automl_cnn.artifacts import LABELS, PREDICTIONS, Files, read_json, read_table
from automl_cnn.evaluate.metrics import ClassScore
from automl_cnn.report.charts import reliability_chart
from automl_cnn.report.model_facts import RUNG_NAMES
from automl_cnn.report.thumbnails import Picture, Thumbnails
from automl_cnn.report.wording import percent

MISTAKES = 24
MATRIX_CLASSES = 15  # a larger matrix is unreadable; the most confused pairs are listed instead
PAIRS = 15


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix: images, and their share of the row in 0…1."""

    images: int
    share: float
    right: bool


@dataclass(frozen=True)
class Pair:
    """Images of one class that were taken for another, and their share of that class."""

    actual: str
    predicted: str
    images: int
    share: float


@dataclass(frozen=True)
class ScoreFacts:
    """The shipped file on the test split.

    Attributes:
        test: scores of the shipped file, float of its float32 twin, difference shipped − float; as in metrics.json.
        rung: of the shipped file, in words.
        majority: the label that is most frequent on the test split; always answering it scores majority_share.
        classes: lowest F1 first.
        labels: of rows and columns of `matrix`; empty where there are more than MATRIX_CLASSES.
        pairs: most confused first.
        mistakes: all of them; mistakes_suspected have a label that the audit suspects.
        mistake_pictures: most confident first.
    """

    test: dict[str, Any]
    twin: dict[str, Any]
    difference: dict[str, Any]
    rung: str
    size_bytes: int
    float_size_bytes: int | None
    latency_ms_median: float
    latency_ms_p95: float
    float_latency_ms: float
    threads: int
    machine: str
    groups: int
    resamples: int
    majority: str
    majority_share: float
    classes: tuple[ClassScore, ...]
    labels: tuple[str, ...]
    matrix: tuple[tuple[Cell, ...], ...]
    pairs: tuple[Pair, ...]
    calibration: str
    mistakes: int
    mistakes_suspected: int
    mistake_pictures: tuple[Picture, ...]


def read_scores(files: Files, thumbnails: Thumbnails) -> ScoreFacts:
    """Sum up the evaluation.

    Raises:
        ArtifactError: a file of evaluation/ is missing or damaged.
    """
    metrics = read_json(files.evaluation / "metrics.json")
    method = read_json(files.evaluation / "method.json")
    latency = read_json(files.evaluation / "latency.json")
    predictions = read_table(files.evaluation / "predictions.parquet", PREDICTIONS)
    bins = pd.read_csv(files.evaluation / "calibration.csv")
    frequent = predictions["label"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    classes = [ClassScore(**line) for line in metrics["test"]["per_class"]]
    names = tuple(line.label for line in classes)
    wrong = _mistakes(files, predictions)
    machine = latency["machine"]
    return ScoreFacts(
        test=metrics["test"],
        twin=metrics["float"],
        difference=metrics["difference"],
        rung=RUNG_NAMES.get(metrics["model"]["rung"], metrics["model"]["rung"]),
        size_bytes=int(metrics["model"]["size_bytes"]),
        float_size_bytes=_float_size(files),
        latency_ms_median=float(metrics["model"]["latency_ms_median"]),
        latency_ms_p95=float(metrics["model"]["latency_ms_p95"]),
        float_latency_ms=float(latency["float"]["median_ms"]),
        threads=int(latency["model"]["threads"]),
        machine=f"{machine['architecture']}, {machine['system']}",
        groups=int(method["groups"]),
        resamples=int(method["resamples"]),
        majority=str(frequent.index[0]),
        majority_share=float(frequent.iloc[0] / len(predictions)),
        classes=tuple(sorted(classes, key=lambda line: (line.f1, line.label))),
        labels=names if len(names) <= MATRIX_CLASSES else (),
        matrix=_matrix(predictions, names) if len(names) <= MATRIX_CLASSES else (),
        pairs=_pairs(predictions),
        calibration=reliability_chart(
            list(bins[["confidence", "accuracy", "count"]].itertuples(index=False, name=None))
        ),
        mistakes=len(wrong),
        mistakes_suspected=int(wrong["flagged"].sum()),
        mistake_pictures=tuple(_mistake_picture(row, thumbnails) for row in wrong[:MISTAKES].to_dict("records")),
    )


def _matrix(predictions: pd.DataFrame, names: tuple[str, ...]) -> tuple[tuple[Cell, ...], ...]:
    """Rows are the labels, columns what the model said."""
    counts = pd.crosstab(predictions["label"], predictions["predicted"]).reindex(
        index=list(names), columns=list(names), fill_value=0
    )
    rows = []
    for i, row in enumerate(counts.to_numpy().tolist()):
        total = sum(row) or 1
        rows.append(tuple(Cell(int(n), n / total, i == j) for j, n in enumerate(row)))
    return tuple(rows)


def _pairs(predictions: pd.DataFrame) -> tuple[Pair, ...]:
    support = predictions["label"].value_counts()
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    counts = wrong.groupby(["label", "predicted"]).size().reset_index(name="images")
    counts = counts.sort_values(["images", "label", "predicted"], ascending=[False, True, True])
    return tuple(
        Pair(str(row["label"]), str(row["predicted"]), int(row["images"]), float(row["images"] / support[row["label"]]))
        for row in counts[:PAIRS].to_dict("records")
    )


def _mistakes(files: Files, predictions: pd.DataFrame) -> pd.DataFrame:
    """Wrong predictions, the most confident first, with `confidence` and the audit's `flagged`."""
    wrong = predictions[predictions["label"] != predictions["predicted"]].copy()
    wrong["confidence"] = np.array([row[f"p_{row['predicted']}"] for row in wrong.to_dict("records")], dtype=np.float64)
    audited = read_table(files.audit / "labels.parquet", LABELS).set_index("image_id")["flagged"].astype(bool)
    wrong["flagged"] = wrong["image_id"].map(audited).fillna(False).astype(bool)
    return wrong.sort_values(["confidence", "path"], ascending=[False, True])


def _mistake_picture(row: dict[Any, Any], thumbnails: Thumbnails) -> Picture:
    lines = [f"labelled {row['label']}", f"model: {row['predicted']}, {percent(row['confidence'], 0)}"]
    if row["flagged"]:
        lines.append("the audit doubts the label")
    return thumbnails.picture(row["image_id"], lines, row["flagged"])


def _float_size(files: Files) -> int | None:
    sizes = {rung["rung"]: rung.get("size_bytes") for rung in read_json(files.quantized / "ladder.json")}
    return sizes.get("float32")
