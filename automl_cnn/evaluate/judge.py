"""Judge the file that ships on the locked test split, with its float twin beside it. Nothing else reads that split."""

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
    MANIFEST,
    PREDICTIONS,
    SPLITS,
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
from automl_cnn.evaluate.inference import predict_rows
from automl_cnn.evaluate.intervals import bootstrap_scores, share_interval
from automl_cnn.evaluate.latency import measure_latency
from automl_cnn.evaluate.metrics import PROBABILITY_FLOOR, calibration_table, score_probabilities
from automl_cnn.progress import Progress, silent

WITH_INTERVAL = ("accuracy", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True)
class Evaluation:
    """What the evaluate stage finds; each field is a file under evaluation/.

    Attributes:
        metrics: test, float, difference (shipped − float) and model; numbers that `dvc metrics diff` compares.
        predictions: one row an image of the test split.
        confusion: actual and predicted, one row an image.
        calibration: confidence and accuracy, one row a bin.
        method: how the scores came about: groups that were resampled, resamples, bins, and which file was scored.
        latency: of the shipped and the float file, and the machine.
    """

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    confusion: pd.DataFrame
    calibration: pd.DataFrame
    method: dict[str, Any]
    latency: dict[str, Any]


def judge_shipped(files: Files, params: EvaluateParams, progress: Progress = silent) -> Evaluation:
    """Score quantized/model.tflite and the float32 rung on the test split.

    Args:
        files: where quantized/, images/, the manifest and the split lie.
        params: resamples, confidence, bins, latency runs, threads, seed.
        progress: told image by image.
    Returns:
        Scores with intervals, the paired difference (shipped − float), predictions, confusion, calibration, latency.
    Raises:
        ArtifactError: an artifact is missing, or two of them disagree (classes, rows, rungs).
        ModelFileError: a .tflite file is damaged.
    """
    class_names = read_lines(files.quantized / "labels.txt")
    size_px = int(read_json(files.quantized / "preprocessing.json")["input_size_px"])
    shipped, twin = _find_rungs(files.quantized)
    rows = _test_rows(files, class_names)
    labels = np.array([class_names.index(label) for label in rows["label"]], dtype=np.int64)
    groups = pd.factorize(rows["group"])[0].astype(np.int64)
    store, store_rows = ImageStore.open(files.images), rows["store_row"].to_numpy(dtype=np.int64)
    model = files.quantized / "model.tflite"
    given = predict_rows(model, store, store_rows, size_px, len(class_names), progress)
    float_given = predict_rows(files.quantized / twin, store, store_rows, size_px, len(class_names), progress)
    judged = [_judge(labels, p, groups, class_names, params) for p in (given, float_given)]
    latencies = {
        "model": measure_latency(model, params.latency_runs, params.threads, progress),
        "float": measure_latency(files.quantized / twin, params.latency_runs, params.threads, progress),
    }
    content = model.read_bytes()
    metrics = {
        "test": judged[0][0],
        "float": judged[1][0],
        "difference": _difference(judged[0], judged[1], given, float_given, groups, params),
        "model": {
            "path": f"{files.quantized.name}/{model.name}",
            "rung": shipped,
            "size_bytes": len(content),
            "latency_ms_median": latencies["model"].median_ms,
            "latency_ms_p95": latencies["model"].p95_ms,
        },
    }
    names = np.array(class_names, dtype=object)
    predicted = names[given.argmax(axis=1)]
    return Evaluation(
        metrics=metrics,
        predictions=_prediction_table(rows, names, given, float_given),
        confusion=pd.DataFrame({"actual": rows["label"], "predicted": predicted}),
        calibration=calibration_table(labels, given, params.calibration_bins),
        method={
            "model_sha256": hashlib.sha256(content).hexdigest(),
            "groups": int(groups.max()) + 1,
            "resamples": params.bootstrap,
            "calibration_bins": params.calibration_bins,
            "log_loss_floor": PROBABILITY_FLOOR,
        },
        latency={name: asdict(latency) for name, latency in latencies.items()}
        | {"machine": {"architecture": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}},
    )


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write evaluation/ as a whole: three JSON files and three tables, named as the fields of `Evaluation`."""
    with replacing_folder(folder) as temporary:
        write_json(temporary / "metrics.json", evaluation.metrics)
        write_json(temporary / "method.json", evaluation.method)
        write_json(temporary / "latency.json", evaluation.latency)
        write_table(temporary / "predictions.parquet", evaluation.predictions, PREDICTIONS)
        evaluation.confusion.to_csv(temporary / "confusion.csv", index=False, lineterminator="\n")
        evaluation.calibration.to_csv(temporary / "calibration.csv", index=False, lineterminator="\n")


def _find_rungs(folder: Path) -> tuple[str, str]:
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


def _test_rows(files: Files, class_names: list[str]) -> pd.DataFrame:
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
    stored = read_table(files.manifest, MANIFEST)[["image_id", "store_row"]]
    rows = test.merge(stored, on="image_id", how="left", validate="one_to_one")
    homeless = rows.loc[~(rows["store_row"] >= 0), "path"]
    if len(homeless):
        raise ArtifactError(
            str(files.manifest),
            expected="every image of the test split in the store",
            received=f"{len(homeless)} without, {homeless.iloc[0]} first",
            action="The manifest is newer than the split: run `dvc repro`.",
        )
    return rows


def _judge(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    groups: NDArray[np.int64],
    class_names: list[str],
    params: EvaluateParams,
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Scores with their intervals, and the resamples behind them."""
    scores: dict[str, Any] = asdict(score_probabilities(labels, probabilities, class_names, params.calibration_bins))
    scores["per_class"] = list(scores["per_class"])
    samples = bootstrap_scores(
        labels, probabilities, groups,
        resamples=params.bootstrap, bins=params.calibration_bins, seed=params.seed,
    )  # fmt: skip
    n_groups = int(groups.max()) + 1
    for name in WITH_INTERVAL:
        for key, confidence in _interval_keys(name, params):
            scores[key] = share_interval(samples[name], scores[name], n_groups, confidence)
    return scores, samples


def _difference(
    shipped: tuple[dict[str, Any], dict[str, NDArray[np.float64]]],
    twin: tuple[dict[str, Any], dict[str, NDArray[np.float64]]],
    given: NDArray[np.float32],
    float_given: NDArray[np.float32],
    groups: NDArray[np.int64],
    params: EvaluateParams,
) -> dict[str, Any]:
    """Shipped − float, on the same resamples; `agreement` is the share of images with the same prediction."""
    difference: dict[str, Any] = {"agreement": float((given.argmax(axis=1) == float_given.argmax(axis=1)).mean())}
    for name in ("log_loss", "ece"):
        difference[name] = shipped[0][name] - twin[0][name]
    for name in WITH_INTERVAL:
        difference[name] = shipped[0][name] - twin[0][name]
        samples = shipped[1][name] - twin[1][name]
        for key, confidence in _interval_keys(name, params):
            difference[key] = share_interval(samples, difference[name], int(groups.max()) + 1, confidence, low=-1.0)
    return difference


def _interval_keys(name: str, params: EvaluateParams) -> list[tuple[str, float]]:
    """The 95 % interval is always there, that of another evaluate.confidence beside it: a key never belies its name."""
    return [(f"{name}_ci{100 * level:g}", level) for level in sorted({0.95, params.confidence})]


def _prediction_table(
    rows: pd.DataFrame,
    names: NDArray[np.object_],
    given: NDArray[np.float32],
    float_given: NDArray[np.float32],
) -> pd.DataFrame:
    """predictions.parquet: one row an image of the test split."""
    table = rows[["image_id", "path", "label"]].assign(
        predicted=names[given.argmax(axis=1)],
        float_predicted=names[float_given.argmax(axis=1)],
        group=rows["group"],
    )
    columns = pd.DataFrame(given, columns=[f"p_{name}" for name in names], index=table.index)
    return pd.concat([table, columns], axis=1)
