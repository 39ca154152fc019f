"""Judge the shipped file on the locked test split, its float twin beside it. No other stage scores or chooses by it."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import (
    LABELS,
    PREDICTIONS,
    Files,
    read_json,
    read_lines,
    read_table,
    replacing_folder,
    write_json,
    write_table,
)
from automl_cnn.config import EvaluateParams
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import ArtifactError
from automl_cnn.evaluate.coverage import measure_coverage
from automl_cnn.evaluate.curves import CURVES
from automl_cnn.evaluate.failures import FAILURES, find_failures
from automl_cnn.evaluate.inference import examine_rows, predict_rows
from automl_cnn.evaluate.latency import measure_latency
from automl_cnn.evaluate.learning_curve import measure_learning_curve
from automl_cnn.evaluate.locked_split import LockedSplit, find_rungs, read_locked_split
from automl_cnn.evaluate.looks import Looks
from automl_cnn.evaluate.metrics import PROBABILITY_FLOOR, calibration_table
from automl_cnn.evaluate.scores import difference_of, score_file
from automl_cnn.evaluate.slices import find_weak_slices
from automl_cnn.progress import Progress, silent
from automl_cnn.reference.record import REFERENCE, Reference


@dataclass(frozen=True)
class Evaluation:
    """What the evaluate stage finds; each field is a file under evaluation/ (docs/evaluation.md describes them).

    Attributes:
        metrics: test, float, difference (shipped − float), out_of_distribution, suspected_labels and model; numbers
            that `dvc metrics diff` compares.
        predictions: one row an image of the test split.
        confusion: actual and predicted, one row an image.
        calibration: confidence and accuracy, one row a bin.
        curves: CURVES table, of the shipped file.
        coverage: as of `measure_coverage`.
        slices: as of `find_weak_slices`.
        learning_curve: as of `measure_learning_curve`.
        failures: FAILURES table.
        method: how the scores came about: groups that were resampled, resamples, bins, and which file was scored.
        latency: of the shipped and the float file, and the machine.
    """

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    confusion: pd.DataFrame
    calibration: pd.DataFrame
    curves: pd.DataFrame
    coverage: list[dict[str, Any]]
    slices: dict[str, Any]
    learning_curve: dict[str, Any]
    failures: pd.DataFrame
    method: dict[str, Any]
    latency: dict[str, Any]


def judge_shipped(files: Files, params: EvaluateParams, progress: Progress = silent) -> Evaluation:
    """Score quantized/model.tflite and the float32 rung on the test split.

    Args:
        files: where quantized/, images/, audit/, embeddings/, the manifest and the split lie.
        params: resamples, confidence, bins, latency runs, threads, seed.
        progress: told image by image.
    Returns:
        Scores with intervals, the paired difference (shipped − float), and what they are made of.
    Raises:
        ArtifactError: an artifact is missing, or two of them disagree (classes, rows, rungs).
        ModelFileError: a .tflite file or reference.npz is damaged.
    """
    class_names = read_lines(files.quantized / "labels.txt")
    size_px = int(read_json(files.quantized / "preprocessing.json")["input_size_px"])
    shipped, twin = find_rungs(files.quantized)
    split = read_locked_split(files, class_names)
    labels, groups = split.labels, split.groups
    store, store_rows = ImageStore.open(files.images), split.rows["store_row"].to_numpy(dtype=np.int64)
    model = files.quantized / "model.tflite"
    given, features = examine_rows(model, store, store_rows, size_px, len(class_names), progress)
    float_given = predict_rows(files.quantized / twin, store, store_rows, size_px, len(class_names), progress)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    reference = _read_reference(files.quantized / REFERENCE, sha256)
    strangeness = reference.ood_scores(reference.sketcher(features))
    scored, twin_scored = (score_file(labels, p, groups, class_names, params) for p in (given, float_given))
    predictions = _prediction_table(split.rows, class_names, given, float_given, strangeness)
    hit = given.argmax(axis=1) == labels
    audited = read_table(files.audit / "labels.parquet", LABELS)
    looks = Looks.open(files, class_names)
    latencies = {
        "model": measure_latency(model, params.latency_runs, params.threads, progress),
        "float": measure_latency(files.quantized / twin, params.latency_runs, params.threads, progress),
    }
    agreement = float((given.argmax(axis=1) == float_given.argmax(axis=1)).mean())
    return Evaluation(
        metrics={
            "test": scored.scores,
            "float": twin_scored.scores,
            "difference": difference_of(scored, twin_scored, agreement, int(groups.max()) + 1, params),
            "out_of_distribution": _strange(strangeness, reference.ood_threshold),
            "suspected_labels": _suspected(predictions, audited, hit),
            "model": {
                "path": f"{files.quantized.name}/{model.name}",
                "rung": shipped,
                "size_bytes": model.stat().st_size,
                "latency_ms_median": latencies["model"].median_ms,
                "latency_ms_p95": latencies["model"].p95_ms,
            },
        },
        predictions=predictions,
        confusion=pd.DataFrame({"actual": split.rows["label"], "predicted": predictions["predicted"]}),
        calibration=calibration_table(labels, given, params.calibration_bins),
        curves=scored.curves.table,
        coverage=measure_coverage(
            labels, given, groups, class_names, reference.thresholds, resamples=params.bootstrap, seed=params.seed
        ),
        slices=_slices(split, hit),
        learning_curve=measure_learning_curve(
            looks.side("train"), looks.side("validation"), class_names, params.seed, progress
        ),
        failures=find_failures(predictions, audited, looks.neighbourhood()),
        method={
            "model_sha256": sha256,
            "groups": int(groups.max()) + 1,
            "resamples": params.bootstrap,
            "calibration_bins": params.calibration_bins,
            "log_loss_floor": PROBABILITY_FLOOR,
        },
        latency={name: asdict(latency) for name, latency in latencies.items()}
        | {"machine": {"architecture": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}},
    )


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write evaluation/ as a whole: JSON files and tables, named as the fields of `Evaluation`."""
    with replacing_folder(folder) as temporary:
        for name in ("metrics", "coverage", "slices", "learning_curve", "method", "latency"):
            write_json(temporary / f"{name}.json", getattr(evaluation, name))
        for name, table in (("predictions", PREDICTIONS), ("curves", CURVES), ("failures", FAILURES)):
            write_table(temporary / f"{name}.parquet", getattr(evaluation, name), table)
        for name in ("confusion", "calibration"):
            getattr(evaluation, name).to_csv(temporary / f"{name}.csv", index=False, lineterminator="\n")


def _read_reference(path: Path, sha256: str) -> Reference:
    reference = Reference.load(path)
    if reference.model_sha256 != sha256:
        raise ArtifactError(
            str(path), expected="the reference of model.tflite", received="that of another file",
            action="Run the quantize stage again.",
        )  # fmt: skip
    return reference


def _prediction_table(
    rows: pd.DataFrame,
    class_names: list[str],
    given: NDArray[np.float32],
    float_given: NDArray[np.float32],
    strangeness: NDArray[np.float64],
) -> pd.DataFrame:
    """predictions.parquet: one row an image of the test split."""
    names = np.array(class_names, dtype=object)
    table = rows[["image_id", "path", "label"]].assign(
        predicted=names[given.argmax(axis=1)],
        float_predicted=names[float_given.argmax(axis=1)],
        group=rows["group"],
        ood_score=strangeness,
    )
    columns = pd.DataFrame(given, columns=[f"p_{name}" for name in names], index=table.index)
    return pd.concat([table, columns], axis=1)


def _strange(strangeness: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    """Images that are less like the training images than nearly all of validation."""
    above = strangeness > threshold
    return {"threshold": threshold, "images": int(above.sum()), "share": float(above.mean())}


def _suspected(predictions: pd.DataFrame, audited: pd.DataFrame, hit: NDArray[np.bool_]) -> dict[str, Any]:
    """Test images whose label the audit doubts: counted as they are everywhere else, and once without them here."""
    doubted = predictions["image_id"].isin(audited.loc[audited["flagged"].astype(bool), "image_id"]).to_numpy()
    return {
        "images": int(doubted.sum()),
        "mistakes": int((doubted & ~hit).sum()),
        "accuracy_without": float(hit[~doubted].mean()) if not doubted.all() else None,
    }


def _slices(split: LockedSplit, hit: NDArray[np.bool_]) -> dict[str, Any]:
    groups = split.rows["group"].to_numpy(np.object_)
    return find_weak_slices(hit, split.labels, groups, split.facts, split.columns)
