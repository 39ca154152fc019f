"""What a search leaves behind: every trial as a table, a leaderboard for people, the best values for the next stage."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from automl_cnn.artifacts import TRIALS, replacing_folder, write_table
from automl_cnn.search.study import TrialRecord, best_of
from automl_cnn.train.candidate import Candidate


def write_results(folder: Path, records: list[TrialRecord], input_size_px: int, objective: str) -> Candidate:
    """Write trials.parquet, leaderboard.csv and best.yaml into `folder`, replacing what was there.

    Returns:
        The best candidate.
    """
    best = best_of(records)
    candidate = Candidate(best.trial_id, best.values, input_size_px, objective, round(float(best.score or 0), 6))
    table = trials_table(records)
    with replacing_folder(folder) as temporary:
        write_table(temporary / "trials.parquet", table, TRIALS)
        leaders = table[table["status"] == "completed"].sort_values(["score", "trial_id"], ascending=[False, True])
        leaders.drop(columns=["status", "message"]).round(4).to_csv(temporary / "leaderboard.csv", index=False)
        candidate.save(temporary / "best.yaml")
    return candidate


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
