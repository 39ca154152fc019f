"""What a search leaves behind: every trial as a table, a leaderboard for people, the best values for the next stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from automl_cnn.artifacts import TRIALS, replacing_folder, write_table
from automl_cnn.errors import ArtifactError
from automl_cnn.search.study import TrialRecord, best_of


@dataclass(frozen=True)
class BestCandidate:
    """The values that won, with what they are worth.

    Attributes:
        trial_id: of the winning trial.
        values: hyperparameters.
        input_size_px: of the features it was found on.
        objective: what was maximized.
        score: on validation, 0 to 1.
    """

    trial_id: int
    values: dict[str, Any]
    input_size_px: int
    objective: str
    score: float


def write_results(folder: Path, records: list[TrialRecord], input_size_px: int, objective: str) -> BestCandidate:
    """Write trials.parquet, leaderboard.csv and best.yaml into `folder`, replacing what was there.

    Returns:
        The best candidate.
    """
    best = best_of(records)
    candidate = BestCandidate(best.trial_id, best.values, input_size_px, objective, round(float(best.score or 0), 6))
    table = trials_table(records)
    with replacing_folder(folder) as temporary:
        write_table(temporary / "trials.parquet", table, TRIALS)
        leaders = table[table["status"] == "completed"].sort_values(["score", "trial_id"], ascending=[False, True])
        leaders.drop(columns=["status", "message"]).round(4).to_csv(temporary / "leaderboard.csv", index=False)
        with (temporary / "best.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(
                {
                    "trial_id": candidate.trial_id,
                    "objective": objective,
                    "score": candidate.score,
                    "input_size_px": input_size_px,
                    "values": candidate.values,
                },
                file,
            )
    return candidate


def read_best(path: Path) -> BestCandidate:
    """Read best.yaml.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    try:
        raw = YAML(typ="safe").load(path)
        return BestCandidate(raw["trial_id"], dict(raw["values"]), raw["input_size_px"], raw["objective"], raw["score"])
    except (OSError, YAMLError, KeyError, TypeError) as error:
        raise ArtifactError(
            str(path), expected="the best candidate", received=f"{type(error).__name__}: {error}",
            action="Run `dvc repro search`.",
        ) from None  # fmt: skip


def trials_table(records: list[TrialRecord]) -> pd.DataFrame:
    """One row a trial, one column a hyperparameter; contract TRIALS."""
    rows = [
        {
            "trial_id": record.trial_id,
            "status": record.status,
            "fidelity": "cached_features",
            "score": record.score,
            "accuracy": record.accuracy,
            "epochs": record.epochs,
            "seconds": round(record.seconds, 3),
            "message": record.message,
            **record.values,
        }
        for record in records
    ]
    return pd.DataFrame(rows).astype({"score": "float64", "accuracy": "float64"})
