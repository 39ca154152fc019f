"""What the report says of the test split: scores, classes, confusion, calibration, float against file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import LABELS, PREDICTIONS, Files, read_json, read_table
from automl_cnn.evaluate.metrics import ClassScore
from automl_cnn.evaluate.paired import Comparison, compare_paired
from automl_cnn.quantize.gate import INT8_RUNGS
from automl_cnn.report.charts.scores import reliability_chart
from automl_cnn.report.ladder_facts import RUNG_NAMES

MATRIX_CLASSES = 15  # a larger matrix is unreadable; the most confused pairs are listed instead
PAIRS = 15
# key in metrics.json, name, whether it is a share
_SCORES = (
    ("accuracy", "accuracy", True), ("balanced_accuracy", "balanced accuracy", True), ("macro_f1", "macro F1", True),
    ("roc_auc", "area under ROC, mean of the classes", False),
    ("average_precision", "average precision, mean of the classes", False),
    ("log_loss", "log loss", False), ("brier", "Brier score", False), ("ece", "calibration error", False),
)  # fmt: skip


@dataclass(frozen=True)
class ScoreLine:
    """One score of the shipped file and of the float model; share where it is one in 0…1 that is told in percent."""

    name: str
    value: float
    interval: tuple[float, float] | None
    twin: float
    share: bool


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
        lines: the scores that are told in the table.
        paired: a sentence: is the shipped file better or worse than the float model; empty in runs of old releases.
        shown_worse: the paired test shows that it is.
        strange: images less like the training images than nearly all of validation: images, share; None if unknown.
        suspected: test images whose label the audit doubts: images, mistakes, accuracy_without; None if unknown.
        rung: of the shipped file, in words; int8_throughout where no part of it is float.
        majority: the label that is most frequent on the test split; always answering it scores majority_share.
        classes: lowest F1 first, those without test images last.
        labels: of rows and columns of `matrix`; empty where there are more than MATRIX_CLASSES.
        pairs: most confused first.
        mistakes: images answered wrongly; mistakes_suspected have a label that the audit suspects.
    """

    test: dict[str, Any]
    twin: dict[str, Any]
    difference: dict[str, Any]
    lines: tuple[ScoreLine, ...]
    paired: str
    shown_worse: bool
    strange: dict[str, Any] | None
    suspected: dict[str, Any] | None
    rung: str
    int8_throughout: bool
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


def read_scores(files: Files) -> ScoreFacts:
    """Sum up the scores.

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
    wrong = predictions.loc[predictions["label"] != predictions["predicted"], "image_id"]
    paired = _paired(predictions, names, int(method["resamples"]))
    machine = latency["machine"]
    return ScoreFacts(
        test=metrics["test"],
        twin=metrics["float"],
        difference=metrics["difference"],
        lines=_score_lines(metrics["test"], metrics["float"]),
        paired=paired.sentence("the float model", "the shipped file") if paired else "",
        shown_worse=paired is not None and paired.verdict == "worse",
        strange=metrics.get("out_of_distribution"),
        suspected=metrics.get("suspected_labels"),
        rung=RUNG_NAMES.get(metrics["model"]["rung"], metrics["model"]["rung"]),
        int8_throughout=metrics["model"]["rung"] in INT8_RUNGS,
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
        classes=tuple(sorted(classes, key=lambda line: (line.f1 is None, line.f1 or 0.0, line.label))),
        labels=names if len(names) <= MATRIX_CLASSES else (),
        matrix=_matrix(predictions, names) if len(names) <= MATRIX_CLASSES else (),
        pairs=_pairs(predictions),
        calibration=reliability_chart(
            list(bins[["confidence", "accuracy", "count"]].itertuples(index=False, name=None))
        ),
        mistakes=len(wrong),
        mistakes_suspected=int(wrong.isin(_suspected_ids(files)).sum()),
    )


def _score_lines(test: dict[str, Any], twin: dict[str, Any]) -> tuple[ScoreLine, ...]:
    lines = []
    for key, name, share in _SCORES:
        if test.get(key) is not None and twin.get(key) is not None:
            lines.append(ScoreLine(name, test[key], _pair_of(test.get(f"{key}_ci95")), twin[key], share))
    intervals = test.get("top_k_ci95") or {}
    top = [
        ScoreLine(f"among the {k} most probable", value, _pair_of(intervals.get(k)), twin["top_k"][k], True)
        for k, value in sorted((test.get("top_k") or {}).items(), key=lambda item: int(item[0]))
    ]
    return (*lines[:3], *top, *lines[3:])


def _pair_of(interval: Any) -> tuple[float, float] | None:
    return (float(interval[0]), float(interval[1])) if interval else None


def _paired(predictions: pd.DataFrame, names: tuple[str, ...], resamples: int) -> Comparison | None:
    """Float against file by their answers alone: predictions.parquet keeps no probabilities of the float model."""
    if not {"float_predicted", "group"} <= set(predictions.columns):
        return None
    place = {name: number for number, name in enumerate(names)}

    def answers(column: str) -> NDArray[np.int64]:
        return np.array([place[name] for name in predictions[column]], dtype=np.int64)

    sure = np.eye(len(names), dtype=np.float32)
    return compare_paired(
        answers("label"), sure[answers("float_predicted")], sure[answers("predicted")],
        pd.factorize(predictions["group"])[0].astype(np.int64), resamples=resamples, confidence=0.95, seed=1,
    )  # fmt: skip


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


def _suspected_ids(files: Files) -> list[str]:
    audited = read_table(files.audit / "labels.parquet", LABELS)
    return [str(image_id) for image_id in audited.loc[audited["flagged"].astype(bool), "image_id"]]


def _float_size(files: Files) -> int | None:
    sizes = {rung["rung"]: rung.get("size_bytes") for rung in read_json(files.quantized / "ladder.json")}
    return sizes.get("float32")
