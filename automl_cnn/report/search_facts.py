"""What the report says of the search: how many trials, the best of them, and what score costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from automl_cnn.artifacts import TRIALS, Files, read_table
from automl_cnn.config import TargetParams
from automl_cnn.report.charts.parallel import TrialLine, parallel_chart
from automl_cnn.report.charts.search import CostPoint, frontier_chart, trials_chart
from automl_cnn.train.candidate import Candidate

LEADERS = 8
OBJECTIVES = {"macro_f1": "macro F1", "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
_BESIDE = {*TRIALS.columns, "accuracy", "standard_error", "log_loss", "epochs", "message", "phase", "heads"}
_FIDELITIES = {"cached_features": "head on frozen features", "fine_tuning": "fine-tuned"}


@dataclass(frozen=True)
class FrontierLine:
    """The best trial of one network: `cost` in milliseconds of the float network on one core, size of the int8 file."""

    trial: int
    network: str
    score: float
    latency_ms: float
    size_mb: float
    within_target: bool
    on_frontier: bool


@dataclass(frozen=True)
class SearchFacts:
    """What was tried.

    Attributes:
        trials: all of them; `failed` of these gave no score.
        seconds: taken by trials, together.
        objective: in words.
        score, standard_error: of the winner; 0 where an earlier release made the search.
        leaders: the winner, then the best trials: trial number, score, log loss, seconds and the values of the
            hyperparameters that differ.
        winner: name and value of the winner's hyperparameters.
        frontier: the best score first; empty where an earlier release made the search.
        limited: params.yaml says what the shipped file may cost.
        charts: SVG by name: trials, parallel, frontier_latency, frontier_size; those for which there is enough to draw.
    """

    trials: int
    failed: int
    seconds: float
    objective: str
    score: float
    standard_error: float
    backbone: str
    leaders: tuple[dict[str, str], ...]
    winner: tuple[tuple[str, str], ...]
    frontier: tuple[FrontierLine, ...]
    limited: bool
    charts: dict[str, str]


def read_search(files: Files, target: TargetParams) -> SearchFacts:
    """Sum up the trials.

    Args:
        files: the search has written its results there.
        target: what the shipped file may cost.
    Raises:
        ArtifactError: trials.parquet or best.yaml is missing or damaged.
    """
    best = Candidate.load(files.search / "best.yaml")
    trials = read_table(files.search / "trials.parquet", TRIALS)
    done = trials[(trials["status"] == "completed") & trials["score"].notna()]
    varied = ["backbone", "images", *(name for name in trials.columns if name not in _BESIDE)]
    parameters = [name for name in varied if done[name].nunique() > 1]
    objective = OBJECTIVES.get(best.objective, best.objective)
    frontier = _read_frontier(files)
    leaders = done.assign(others=done["trial_id"] != best.trial_id)
    leaders = leaders.sort_values(["others", "images", "score", "trial_id"], ascending=[True, False, False, True])
    return SearchFacts(
        trials=len(trials),
        failed=len(trials) - len(done),
        seconds=float(trials["seconds"].sum()),
        objective=objective,
        score=best.score,
        standard_error=float(leaders["standard_error"].iloc[0])
        if "standard_error" in leaders and len(leaders)
        else 0.0,
        backbone=str(best.values.get("backbone", "")),
        leaders=tuple(
            {
                "trial": str(row["trial_id"]),
                "score": f"{row['score']:.4f}",
                **({"log loss": f"{row['log_loss']:.4f}"} if "log_loss" in row else {}),
                **{name: _value(row[name]) for name in parameters},
                "seconds": f"{row['seconds']:.1f}",
            }
            for row in leaders[:LEADERS].to_dict("records")
        ),
        winner=tuple((name, _value(value)) for name, value in best.values.items()),
        frontier=frontier,
        limited=target.max_latency_ms is not None or target.max_size_mb is not None,
        charts=_trial_charts(done, parameters, objective, best.trial_id) | _cost_charts(frontier, objective, target),
    )


def _trial_charts(done: pd.DataFrame, parameters: list[str], objective: str, winner: int) -> dict[str, str]:
    charts = {}
    # a score on a part of the images is not compared with one on all
    whole = done[done["images"] == done["images"].max()]
    if len(whole):
        numbers, scores = whole["trial_id"].tolist(), whole["score"].tolist()
        charts["trials"] = trials_chart(list(zip(numbers, scores, strict=True)), objective)
    # how many images a trial saw is told by its dashes; what is set for most trials says most
    ranked = sorted((name for name in parameters if name != "images"), key=lambda name: -len(done[name].dropna()))
    if len(done) > 1 and ranked:
        rows: list[dict[Any, Any]] = done.astype(object).to_dict("records")
        most = done["images"].max()
        lines = [TrialLine(row["trial_id"], row, float(row["score"]), bool(row["images"] < most)) for row in rows]
        charts["parallel"] = parallel_chart(lines, ranked, objective, winner)
    return charts


def _read_frontier(files: Files) -> tuple[FrontierLine, ...]:
    path = files.search / "frontier.csv"
    if not path.exists():
        return ()
    return tuple(
        FrontierLine(
            trial=int(row["trial_id"]),
            network=f"{row['backbone']}, {row['input_size_px']} pixels, {row['pooling']} pooling, "
            + _FIDELITIES.get(row["fidelity"], row["fidelity"]),
            score=float(row["score"]),
            latency_ms=float(row["latency_ms"]),
            size_mb=float(row["size_mb"]),
            within_target=bool(row["within_target"]),
            on_frontier=bool(row["on_frontier"]),
        )
        for row in pd.read_csv(path).to_dict("records")
    )


def _cost_charts(frontier: tuple[FrontierLine, ...], objective: str, target: TargetParams) -> dict[str, str]:
    if not frontier:
        return {}
    best = "no other is as good, as fast and as small"
    remarks = [best if line.on_frontier else "" for line in frontier]
    pairs = list(zip(frontier, remarks, strict=True))
    latency = [CostPoint(line.network, line.latency_ms, line.score, remark) for line, remark in pairs]
    size = [CostPoint(line.network, line.size_mb, line.score, remark) for line, remark in pairs]
    return {
        "frontier_latency": frontier_chart(latency, objective, "latency, ms", target.max_latency_ms),
        "frontier_size": frontier_chart(size, objective, "size, MB", target.max_size_mb),
    }


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3g}"
    return str(value)
