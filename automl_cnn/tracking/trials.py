"""One child run a trial of the search, all with the same parameter keys, so that parallel coordinates can be drawn."""

from __future__ import annotations

import time
from typing import Any

from automl_cnn.artifacts import TRIALS, Files, read_table
from automl_cnn.progress import Progress
from automl_cnn.tracking.finished import PARAM_CHARS, is_number

_TAG = "trial_id"
_RESULTS = (
    "score",
    "accuracy",
    "standard_error",
    "log_loss",
    "epochs",
    "seconds",
)  # metrics of a trial, where it has them
_NO_PARAMETER = ("trial_id", "status", "message", *_RESULTS)


def log_trials(client: Any, experiment: str, parent: str, files: Files, progress: Progress) -> None:
    """Log every trial that has no finished child run yet, each with one call that carries all that it lacks.

    The search itself knows nothing of MLflow.

    Args:
        client: MlflowClient.
        experiment: id of the experiment of the parent run.
        parent: id of the parent run.
        files: where trials.parquet lies; nothing is logged where it does not.
        progress: told trial by trial.
    """
    from mlflow.entities import Metric, Param

    path = files.search / "trials.parquet"
    if not path.exists():
        return
    trials = read_table(path, TRIALS)
    hyperparameters = [column for column in trials.columns if column not in _NO_PARAMETER]
    known = find_children(client, experiment, parent)
    for done, trial in enumerate(trials.to_dict("records"), 1):
        run = known.get(str(trial["trial_id"]))
        now = int(time.time() * 1000)
        if run is None:
            tags = {"mlflow.parentRunId": parent, _TAG: str(trial["trial_id"])}
            tags["trial_message"] = str(trial.get("message", ""))
            taken_ms = int(1000 * trial["seconds"]) if is_number(trial["seconds"]) else 0
            name = f"trial {trial['trial_id']}"
            run = client.create_run(experiment, start_time=now - taken_ms, tags=tags, run_name=name)
        if run.info.status == "RUNNING":
            held = run.data
            given = [Param(k, str(trial[k])[:PARAM_CHARS]) for k in hyperparameters if k not in held.params]
            numbers = {k: float(trial[k]) for k in _RESULTS if is_number(trial.get(k)) and k not in held.metrics}
            if given or numbers:  # MLflow stores the two one after the other: it may hold the first alone
                logged = [Metric(key, value, now, 0) for key, value in numbers.items()]
                client.log_batch(run.info.run_id, metrics=logged, params=given)
            client.set_terminated(run.info.run_id, "FINISHED" if trial["status"] == "completed" else "FAILED")
        progress("trials", done, len(trials))


def find_children(client: Any, experiment: str, parent: str) -> dict[str, Any]:
    """Child runs by trial."""
    found: dict[str, Any] = {}
    page = None
    while True:
        runs = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'", page_token=page)
        found |= {run.data.tags.get(_TAG, ""): run for run in runs}
        page = runs.token
        if not page:
            return found
