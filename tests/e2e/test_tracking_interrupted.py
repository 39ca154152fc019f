"""A registry that goes away in the middle of register: everything is on disk, and nothing stands in MLflow twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from colour_run import write_colour_run
from conftest import Project, copy_project
from mlflow_server import Line, MlflowServer

from automl_cnn.artifacts import Files
from automl_cnn.config import load_params
from automl_cnn.errors import TrackingError
from automl_cnn.evaluate.judge import judge_shipped, write_evaluation
from automl_cnn.tracking.record import record_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    made = MlflowServer(folder, f"sqlite:///{folder}/mlflow.db")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def finished(tmp_path: Path) -> Project:
    """A project whose stages before register have ended."""
    project = copy_project(tmp_path / "project")
    settings = (project.folder / "params.yaml").read_text()
    files = write_colour_run(project.folder)
    (project.folder / "params.yaml").write_text(settings)
    set_params(project, "data.root=data", "data.working_size_px=48", "search.input_sizes_px=[32]")
    params = load_params(project.folder / "params.yaml")
    write_evaluation(files.evaluation, judge_shipped(files, params.evaluate))
    files.report.mkdir()
    (files.report / "report.html").write_text("<html></html>")
    project.initialise()
    return project


def set_params(project: Project, *assignments: str) -> None:
    done = project.run("set", *assignments)
    assert done.returncode == 0, done.stderr


def record(project: Project, name: str, uri: str, **options: Any) -> Any:
    """`record_run` under an experiment and model of that name."""
    params = load_params(project.folder / "params.yaml")
    tracking = params.tracking.model_copy(update={"uri": uri, "experiment": name, "model_name": name})
    files = Files(project.folder / "artifacts")
    return record_run(params.model_copy(update={"tracking": tracking}), files, project.folder, pauses_s=(), **options)


def in_mlflow(uri: str, name: str) -> dict[str, Any]:
    """How often each thing stands in MLflow."""
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(name).experiment_id
    runs = client.search_runs([experiment])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    histories = [
        len(client.get_metric_history(run.info.run_id, key))
        for run in runs
        for key in run.data.metrics
        if not key.startswith("system/")
    ]
    return {
        "parents": len(parents),
        "status": [run.info.status for run in parents],
        "trials": sorted(run.data.tags["trial_id"] for run in runs if "mlflow.parentRunId" in run.data.tags),
        "data sets": sorted(given.dataset.name for run in parents for given in run.inputs.dataset_inputs),
        "models": [str(model.status) for model in client.search_logged_models([experiment])],
        "outputs": sum(len(run.outputs.model_outputs) for run in parents),
        "versions": [str(version.version) for version in client.search_model_versions(f"name = '{name}'")],
        "values a metric": set(histories),
    }


WHOLE = {
    "parents": 1,
    "status": ["FINISHED"],
    "trials": ["0", "1", "2"],
    "data sets": ["all", "test", "train", "validation"],
    "models": ["READY"],
    "outputs": 1,
    "versions": ["1"],
    "values a metric": {1},
}


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("trials", marks=pytest.mark.exhaustive),
        pytest.param("storing data and files", marks=pytest.mark.exhaustive),
        pytest.param("storing the model", marks=pytest.mark.exhaustive),
        pytest.param("registering", marks=pytest.mark.exhaustive),
    ],
)
def test_a_server_killed_in_the_middle_is_started_again_and_the_record_is_whole_and_single(
    finished: Project, server: MlflowServer, part: str
) -> None:
    name = part.replace(" ", "-")

    def kill(now: str, done: int, total: int, note: str = "") -> None:
        if now == part:
            server.kill()

    with pytest.raises(TrackingError, match=r"expected an MLflow that answers .* Everything is on disk"):
        record(finished, name, server.uri, progress=kill)
    assert not (finished.folder / "artifacts" / "registered" / "registration.json").exists()
    server.start()
    assert record(finished, name, server.uri).version == "1"
    assert in_mlflow(server.uri, name) == WHOLE


def test_the_answer_to_every_change_gets_lost_once_and_the_record_is_whole_and_single(
    finished: Project, server: MlflowServer
) -> None:
    line = Line(server.port)
    try:
        for _ in range(100):
            line.mend()
            try:
                record(finished, "lost", line.uri)
                break
            except TrackingError:
                continue
    finally:
        line.close()
    assert line.lost > 15
    assert in_mlflow(server.uri, "lost") == WHOLE


@pytest.mark.exhaustive  # what is said of a server that is away is a test of register
def test_register_ends_with_2_and_three_parts_and_dvc_repro_finishes_it_later(
    finished: Project, server: MlflowServer
) -> None:
    name = "later"
    set_params(finished, f"tracking.experiment={name}", f"tracking.model_name={name}")
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.uri}
    server.kill()
    done = subprocess.run(
        [sys.executable, "pipelines/register.py"],
        cwd=finished.folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"register: {server.uri}: expected an MLflow that answers (MLFLOW_TRACKING_URI); received" in done.stderr
    assert "dvc repro" in done.stderr
    assert "Traceback" not in done.stderr
    server.start()
    os.environ["MLFLOW_TRACKING_URI"] = server.uri
    try:
        later = finished.dvc("repro", "--single-item", "register")
        again = finished.dvc("repro", "--single-item", "register")
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]
    assert later.returncode == 0, later.stdout + later.stderr
    assert f"Record: {server.uri} (MLFLOW_TRACKING_URI)." in later.stdout
    assert "Running stage" not in again.stdout
    assert in_mlflow(server.uri, name) == WHOLE
