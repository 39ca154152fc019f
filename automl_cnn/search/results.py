"""What a search leaves behind: every trial, the frontier, the winner for the next stages, and what was promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from automl_cnn.artifacts import TRIALS, replacing_folder, write_json, write_table
from automl_cnn.search.frontier import COLUMNS
from automl_cnn.search.space import NESTED, arm_of
from automl_cnn.search.trial_log import TrialRecord
from automl_cnn.train.candidate import Candidate


@dataclass(frozen=True)
class Outcome:
    """How a search ended.

    Attributes:
        records: all finished trials.
        best: the winner, and what the later stages do with it.
        frontier: rows of `search.frontier.frontier`.
        budget: of all stages together: what was promised, in seconds.
        lines: what the analyst is told.
    """

    records: Sequence[TrialRecord]
    best: Candidate
    frontier: Sequence[Mapping[str, Any]]
    budget: Mapping[str, Any]
    lines: Sequence[str]


def write_results(folder: Path, outcome: Outcome) -> None:
    """Write trials.parquet, leaderboard.csv, frontier.csv, best.yaml and budget.json into `folder`, replacing it."""
    table = trials_table(outcome.records)
    with replacing_folder(folder) as temporary:
        write_table(temporary / "trials.parquet", table, TRIALS)
        leaders = table[table["status"] == "completed"].sort_values(
            ["images", "score", "trial_id"], ascending=[False, False, True]
        )
        leaders.drop(columns=["status", "message"]).round(4).to_csv(temporary / "leaderboard.csv", index=False)
        pd.DataFrame(outcome.frontier, columns=list(COLUMNS)).to_csv(temporary / "frontier.csv", index=False)
        outcome.best.save(temporary / "best.yaml")
        write_json(temporary / "budget.json", dict(outcome.budget))


def trials_table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row a trial, one column a hyperparameter, empty where a trial has none; contract TRIALS."""
    rows = [
        {
            "trial_id": record.trial_id,
            "status": record.status,
            "phase": record.phase,
            "fidelity": record.fidelity,
            "images": record.images,
            "views": record.views,
            "score": record.score,
            "accuracy": record.accuracy,
            "standard_error": record.standard_error,
            "log_loss": record.log_loss,
            "epochs": record.epochs,
            "seconds": round(record.seconds, 3),
            "message": record.message,
            **{name: value for name, value in record.values.items() if name not in NESTED and name != "epochs"},
            "heads": len(record.values.get("members", [0])),
            "teacher": arm_of(record.values["teacher"]).name if "teacher" in record.values else None,
        }
        for record in records
    ]
    return pd.DataFrame(rows).astype({"score": "float64", "accuracy": "float64"})
