"""MLflow: a pipeline run is recorded once, whole, and its model loads back and answers as `predict` does."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from colour_run import write_colour_run

from automl_cnn.artifacts import Files, read_json, write_json
from automl_cnn.config import Params, load_params
from automl_cnn.errors import ArtifactError
from automl_cnn.evaluate.judge import judge_shipped, write_evaluation
from automl_cnn.serve.predict import Predictor
from automl_cnn.tracking import Registration, record_run


@dataclass(frozen=True)
class Recorded:
    project: Path
    files: Files
    params: Params
    first: Registration
    client: Any


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """A finished run, recorded once; later tests of this file change what is theirs and no other's."""
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        files = write_colour_run(project)
        params = load_params(project / "params.yaml")
        write_evaluation(files.evaluation, judge_shipped(files, params.evaluate))
        (project / "dvc.lock").write_text("stages:\n  split:\n    outs:\n    - {path: artifacts/split, md5: abc.dir}\n")
        first = record_run(params, files)
        import mlflow

        patch.setenv("MLFLOW_TRACKING_URI", params.tracking.uri)
        mlflow.set_tracking_uri(params.tracking.uri)
        yield Recorded(project, files, params, first, mlflow.MlflowClient())
        mlflow.set_tracking_uri(None)


def test_the_first_model_is_challenger_and_champion(recorded: Recorded) -> None:
    assert recorded.first.aliases == ("challenger", "champion")
    assert not recorded.first.reused
    written = read_json(recorded.files.registered / "registration.json")
    assert written["version"] == recorded.first.version == "1"


def test_the_run_holds_parameters_metrics_data_sets_and_lineage(recorded: Recorded) -> None:
    run = recorded.client.get_run(recorded.first.run_id)
    metrics = read_json(recorded.files.evaluation / "metrics.json")
    assert run.info.status == "FINISHED"
    assert run.data.params["data.working_size_px"] == "48"
    assert run.data.params["search.preset"] == "quick"
    assert run.data.metrics["test.accuracy"] == metrics["test"]["accuracy"]
    assert run.data.metrics["test.accuracy_ci95_low"] == metrics["test"]["accuracy_ci95"][0]
    assert run.data.metrics["seconds.search"] == 2.5
    assert run.data.tags["dvc.split.split"] == "abc.dir"
    contexts = {item.tags[0].value: item.dataset for item in run.inputs.dataset_inputs}
    assert set(contexts) == {"train", "validation", "test"}
    assert all(len(dataset.digest) <= 36 for dataset in contexts.values())
    assert str(recorded.project) not in "".join(dataset.source for dataset in contexts.values())
    names = {item.path for item in recorded.client.list_artifacts(recorded.first.run_id, "evaluation")}
    assert "evaluation/metrics.json" in names


def test_every_trial_is_a_child_with_the_same_keys(recorded: Recorded) -> None:
    experiment = recorded.client.get_experiment_by_name("automl-cnn")
    children = recorded.client.search_runs(
        [experiment.experiment_id], f"tags.mlflow.parentRunId = '{recorded.first.run_id}'"
    )
    assert sorted(child.info.status for child in children) == ["FAILED", "FINISHED", "FINISHED"]
    assert {frozenset(child.data.params) for child in children} == {
        frozenset({"backbone", "fidelity", "images", "dropout"})
    }
    assert max(child.data.metrics.get("score", 0) for child in children) == 0.9


def test_the_registered_model_answers_as_predict_does(recorded: Recorded) -> None:
    import mlflow

    paths = sorted((recorded.project / "data").glob("*/00.png"))
    expected = Predictor(recorded.files.quantized / "model.tflite").predict(paths)
    model = mlflow.pyfunc.load_model("models:/automl-cnn@champion")
    as_bytes = model.predict(pd.DataFrame({"image": [path.read_bytes() for path in paths]}))
    as_text = model.predict(pd.DataFrame({"image": [base64.b64encode(path.read_bytes()).decode() for path in paths]}))
    assert as_bytes["label"].tolist() == [one.label for one in expected] == ["blue", "green", "red"]
    assert [json.loads(row) for row in as_bytes["probabilities"]] == [one.probabilities for one in expected]
    pd.testing.assert_frame_equal(as_bytes, as_text)


def test_the_registered_model_needs_neither_the_package_nor_tensorflow(recorded: Recorded) -> None:
    script = (
        "import sys; sys.modules['automl_cnn'] = None; sys.modules['tensorflow'] = None; import mlflow, pandas as pd; "
        "model = mlflow.pyfunc.load_model(sys.argv[1]); "
        "print(model.predict(pd.DataFrame({'image': [open(sys.argv[2], 'rb').read()]}))['label'][0])"
    )
    picture = recorded.project / "data" / "green" / "03.png"
    done = subprocess.run(
        [sys.executable, "-c", script, "models:/automl-cnn/1", str(picture)],
        capture_output=True, text=True, cwd=recorded.project, check=True,
    )  # fmt: skip
    assert done.stdout.split()[-1] == "green"


def test_the_same_results_are_registered_once(recorded: Recorded) -> None:
    again = record_run(recorded.params, recorded.files)
    assert again.reused
    assert (again.version, again.run_id) == (recorded.first.version, recorded.first.run_id)
    assert len(recorded.client.search_model_versions("name = 'automl-cnn'")) == 1
    assert "registered already" in again.sentence()


def test_a_worse_model_becomes_challenger_and_the_champion_stays(recorded: Recorded, tmp_path: Path) -> None:
    path = recorded.files.evaluation / "metrics.json"
    before = read_json(path)
    write_json(path, {**before, "test": {**before["test"], "accuracy": 0.1}})
    worse = record_run(recorded.params, recorded.files)
    write_json(path, {**before, "test": {**before["test"], "accuracy": 0.9}})
    better = record_run(recorded.params, recorded.files)
    write_json(path, before)
    assert (worse.aliases, worse.champion) == (
        ("challenger",),
        "version 1 remains champion with test accuracy 0.667 against 0.100",
    )
    assert better.aliases == ("challenger", "champion")
    assert str(recorded.client.get_model_version_by_alias("automl-cnn", "champion").version) == better.version


def test_a_copied_project_does_not_write_into_the_original(recorded: Recorded, tmp_path: Path) -> None:
    path = recorded.files.evaluation / "metrics.json"
    before = read_json(path)
    write_json(path, {**before, "test": {**before["test"], "accuracy": 0.5}})
    with pytest.raises(ArtifactError, match=r"expected an experiment whose files lie in .*copied or moved"):
        record_run(recorded.params, recorded.files, project=tmp_path)
    write_json(path, before)


def test_no_file_is_left_outside_mlartifacts_and_the_database(recorded: Recorded) -> None:
    names = {path.name for path in recorded.project.iterdir()}
    assert names <= {"artifacts", "data", "dvc.lock", "mlartifacts", "mlflow.db", "params.yaml"}
