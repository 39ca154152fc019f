"""What the report says of the model's making: trials, training, the files that competed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from automl_cnn.artifacts import TRIALS, Files, read_json, read_table
from automl_cnn.report.charts import epochs_chart, trials_chart
from automl_cnn.train.candidate import Candidate

LEADERS = 8
_OBJECTIVES = {"macro_f1": "macro F1", "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
_BESIDE = {*TRIALS.columns, "accuracy", "epochs", "message"}
RUNG_NAMES = {
    "float32": "float32", "float16": "float16", "ptq_int8": "int8, after training",
    "ai_edge_int8": "int8, after training, by ai-edge", "qat_float_head": "int8, head in float32",
    "qat_int8": "int8, quantization-aware training", "weight_only_int8": "int8 weights only",
}  # fmt: skip


@dataclass(frozen=True)
class SearchFacts:
    """What was tried.

    Attributes:
        trials: all of them; `failed` of these gave no score.
        seconds: taken by trials, together.
        objective: in words.
        parameters: names of the hyperparameters that differ between trials.
        leaders: the best trials: trial number, score, seconds and the hyperparameters' values.
        winner: name and value of the winner's hyperparameters.
        chart: SVG; empty where no trial has a score.
    """

    trials: int
    failed: int
    seconds: float
    objective: str
    score: float
    backbone: str
    parameters: tuple[str, ...]
    leaders: tuple[dict[str, str], ...]
    winner: tuple[tuple[str, str], ...]
    chart: str


@dataclass(frozen=True)
class TrainingFacts:
    """Fine-tuning: validation scores of the head alone and of the kept epoch, SVG charts of score and loss."""

    epochs: int
    best_epoch: int
    head_score: float
    score: float
    temperature: float
    charts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RungLine:
    """One file that could have shipped; numbers are None where it could not be made, `name` is in words."""

    rung: str
    name: str
    val_accuracy: float | None
    size_bytes: int | None
    latency_ms: float | None
    shipped: bool
    reason: str


def read_search(files: Files) -> SearchFacts:
    """Sum up the trials.

    Raises:
        ArtifactError: trials.parquet or best.yaml is missing or damaged.
    """
    best = Candidate.load(files.search / "best.yaml")
    trials = read_table(files.search / "trials.parquet", TRIALS)
    done = trials[(trials["status"] == "completed") & trials["score"].notna()]
    varied = ["backbone", "images", *(name for name in trials.columns if name not in _BESIDE)]
    parameters = [name for name in varied if done[name].nunique() > 1]
    # a score on a part of the images is not compared with one on all
    whole = done[done["images"] == done["images"].max()]
    scored = [(int(number), float(score)) for number, score in zip(whole["trial_id"], whole["score"], strict=True)]
    objective = _OBJECTIVES.get(best.objective, best.objective)
    leaders = done.sort_values(["images", "score", "trial_id"], ascending=[False, False, True])[:LEADERS]
    return SearchFacts(
        trials=len(trials),
        failed=len(trials) - len(done),
        seconds=float(trials["seconds"].sum()),
        objective=objective,
        score=best.score,
        backbone=str(best.values.get("backbone", "")),
        parameters=tuple(parameters),
        leaders=tuple(
            {
                "trial": str(row["trial_id"]),
                "score": f"{row['score']:.4f}",
                **{name: _value(row[name]) for name in parameters},
                "seconds": f"{row['seconds']:.1f}",
            }
            for row in leaders.to_dict("records")
        ),
        winner=tuple((name, _value(value)) for name, value in best.values.items()),
        chart=trials_chart(scored, objective) if scored else "",
    )


def read_training(files: Files) -> TrainingFacts:
    """Sum up fine-tuning.

    Raises:
        ArtifactError: result.json is missing or damaged.
    """
    result = read_json(files.model / "result.json")
    history = pd.read_csv(files.model / "history.csv")
    objective = _OBJECTIVES.get(result["objective"], result["objective"])
    best_epoch = int(result["best_epoch"])
    charts = []
    for column, name in (("validation_score", f"validation {objective}"), ("loss", "training loss")):
        known = history.dropna(subset=[column])  # epoch 0 is the head before fine-tuning and has no loss
        if len(known):
            marked = best_epoch if best_epoch in known["epoch"].to_numpy() else None
            charts.append((column, epochs_chart(known["epoch"].tolist(), known[column].tolist(), name, marked)))
    return TrainingFacts(
        epochs=int(history["epoch"].max()),
        best_epoch=best_epoch,
        head_score=float(result["head_score"]),
        score=float(result["validation_score"]),
        temperature=float(result["temperature"]),
        charts=tuple(charts),
    )


def read_ladder(files: Files) -> tuple[RungLine, ...]:
    """The files that competed, in the order of ladder.json.

    Raises:
        ArtifactError: ladder.json is missing or damaged.
    """
    return tuple(
        RungLine(
            rung=rung["rung"],
            name=RUNG_NAMES.get(rung["rung"], rung["rung"]),
            val_accuracy=rung.get("val_accuracy"),
            size_bytes=rung.get("size_bytes"),
            latency_ms=rung.get("latency_ms"),
            shipped=bool(rung.get("shipped")),
            reason=str(rung.get("error") or rung.get("reason") or ""),
        )
        for rung in read_json(files.quantized / "ladder.json")
    )


def _value(value: Any) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3g}"
    return str(value)
