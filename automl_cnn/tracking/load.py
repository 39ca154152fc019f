"""What the stages took of the machine, as system metrics of the run: MLflow draws them on a page of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automl_cnn.artifacts import Files

if TYPE_CHECKING:
    import pandas as pd

SAMPLES = 240  # of four metrics: below the thousand that one call may carry
# The prefix is what MLflow's page of system metrics looks for.
_KEYS = {
    "cpu_percent": "system/cpu_utilization_percentage",
    "machine_memory_mb": "system/system_memory_usage_megabytes",
    "stage_memory_mb": "system/stage_memory_usage_megabytes",
    "stage_processes": "system/stage_processes",
}


def log_load(client: Any, run: Any, files: Files) -> None:
    """Log what `sampled_load` wrote of every stage, at most `SAMPLES` moments, and each stage's peak of memory.

    The peaks come last: as long as one is missing, so may be moments. MLflow keeps a moment that comes again only once.

    Args:
        client: MlflowClient.
        run: the parent run as it is in MLflow now; what it holds whole is not logged again.
        files: where timings/*.system.csv lie; none, nothing is logged.
    """
    from mlflow.entities import Metric

    load = _read(files)
    if load is None:
        return
    began, ended = int(load["time_ms"].min()), int(load["time_ms"].max())
    peaks = {f"peak_memory_mb.{stage}": peak for stage, peak in load.groupby("stage")["stage_memory_mb"].max().items()}
    if all(key in run.data.metrics for key in (*_KEYS.values(), *peaks)):
        return
    kept = load.iloc[:: -(-len(load) // SAMPLES)]
    moments = [
        Metric(key, float(row[column]), int(row["time_ms"]), (int(row["time_ms"]) - began) // 1000)
        for row in kept.to_dict("records")
        for column, key in _KEYS.items()
    ]
    client.log_batch(run.info.run_id, metrics=moments)
    missing = {key: peak for key, peak in peaks.items() if key not in run.data.metrics}
    client.log_batch(run.info.run_id, metrics=[Metric(key, float(peak), ended, 0) for key, peak in missing.items()])


def _read(files: Files) -> pd.DataFrame | None:
    """All stages' samples in the order of their times, with the column `stage`."""
    import pandas as pd

    paths = sorted(files.timings.glob("*.system.csv"))
    parts = [pd.read_csv(path).assign(stage=path.name.partition(".")[0]) for path in paths]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts).sort_values("time_ms", ignore_index=True) if parts else None
