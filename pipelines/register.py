"""Stage register: the pipeline run, its trials, its data and its model in MLflow."""

from __future__ import annotations

from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    """Record, then write artifacts/registered/registration.json."""
    from automl_cnn.tracking.record import record_run

    registration = record_run(stage.params, stage.files, progress=stage.progress)
    print(registration.sentence())


if __name__ == "__main__":
    run_stage("register", main)
