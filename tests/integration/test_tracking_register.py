"""MLflow: a pipeline run is recorded once, whole, and its model loads back and answers as `predict` does."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from colour_run import write_colour_run

from automl_cnn.artifacts import Files, read_json, write_json
from automl_cnn.config import Params, load_params
from automl_cnn.errors import ArtifactError, PromotionError, TrackingError
from automl_cnn.evaluate.judge import judge_shipped, write_evaluation
from automl_cnn.serve.predict import Predictor
from automl_cnn.tracking.promotion import promote
from automl_cnn.tracking.record import Registration, record_run
from automl_cnn.tracking.sources import read_source


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
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MLFLOW_REGISTRY_URI", raising=False)
        files = write_colour_run(project)
        params = load_params(project / "params.yaml")
        write_evaluation(files.evaluation, judge_shipped(files, params.evaluate))
        (project / "dvc.lock").write_text("stages:\n  split:\n    outs:\n    - {path: artifacts/split, md5: abc.dir}\n")
        (files.timings / "search.system.csv").write_text(
            "time_ms,cpu_percent,machine_memory_mb,stage_memory_mb,stage_processes\n"
            "1700000000000,20.5,900,150,1\n1700000002000,99.5,1000,250,3\n"
        )
        first = record_run(params, files)
        import mlflow

        yield Recorded(project, files, params, first, mlflow.MlflowClient(params.tracking.uri, params.tracking.uri))


@pytest.fixture
def loaded(recorded: Recorded) -> Iterator[Any]:
    """The registered model as MLflow loads it."""
    import mlflow

    mlflow.set_tracking_uri(recorded.params.tracking.uri)
    yield mlflow.pyfunc.load_model("models:/automl-cnn@challenger")
    mlflow.set_tracking_uri(None)


@pytest.fixture
def loaded_for_paths(recorded: Recorded) -> Iterator[Any]:
    """The same, by someone who lets it read files of this machine."""
    import mlflow

    mlflow.set_tracking_uri(recorded.params.tracking.uri)
    yield mlflow.pyfunc.load_model("models:/automl-cnn@challenger", model_config={"paths": True})
    mlflow.set_tracking_uri(None)


def test_the_first_model_is_challenger_and_nobody_is_champion(recorded: Recorded) -> None:
    assert recorded.first.aliases == ("challenger",)
    assert "`automl-cnn promote` makes it one" in recorded.first.sentence()
    assert "Record: sqlite:///mlflow.db (tracking.uri)." in recorded.first.sentence()
    assert not recorded.first.reused
    assert set(recorded.client.get_registered_model("automl-cnn").aliases) == {"challenger"}
    written = read_json(recorded.files.registered / "registration.json")
    assert written["version"] == recorded.first.version == "1"


def test_the_run_holds_parameters_metrics_and_lineage(recorded: Recorded) -> None:
    run = recorded.client.get_run(recorded.first.run_id)
    metrics = read_json(recorded.files.evaluation / "metrics.json")
    assert run.info.status == "FINISHED"
    assert run.data.params["data.working_size_px"] == "48"
    assert run.data.params["search.preset"] == "quick"
    assert not any(key.startswith("tracking.") for key in run.data.params)
    assert run.data.metrics["test.accuracy"] == metrics["test"]["accuracy"]
    assert run.data.metrics["test.accuracy_ci95_low"] == metrics["test"]["accuracy_ci95"][0]
    assert run.data.metrics["test.recall.red"] == metrics["test"]["per_class"][0]["recall"]
    assert run.data.metrics["suspected_labels.images"] == 3
    assert run.data.metrics["seconds.search"] == 2.5
    assert run.data.tags["dvc.split.split"] == "abc.dir"


def test_the_data_sets_carry_digests_class_counts_and_what_the_audit_found(recorded: Recorded) -> None:
    run = recorded.client.get_run(recorded.first.run_id)
    given = {item.tags[0].value: item.dataset for item in run.inputs.dataset_inputs}
    assert set(given) == {"all", "train", "validation", "test"}
    assert all(len(dataset.digest) <= 36 for dataset in given.values())
    assert str(recorded.project) not in "".join(dataset.source for dataset in given.values())
    whole, train = (json.loads(given[name].profile) for name in ("all", "train"))
    assert given["all"].digest == recorded.first.data_digest
    assert whole["class_counts"] == {"blue": 12, "green": 12, "red": 12}
    assert whole["audit"] == {
        "images": {"ok": 36}, "issues": {"suspect_label": 3}, "decisions": {"relabel": 1}, "label_conflicts": None,
    }  # fmt: skip
    assert train == {
        "num_rows": 18, "groups": 6, "class_counts": {"blue": 6, "green": 6, "red": 6},
        "split_digest": recorded.first.split_digest,
    }  # fmt: skip


def test_what_stages_took_of_the_machine_is_drawn_as_system_metrics(recorded: Recorded) -> None:
    history = recorded.client.get_metric_history(recorded.first.run_id, "system/cpu_utilization_percentage")
    assert [(point.step, point.value) for point in history] == [(0, 20.5), (2, 99.5)]
    run = recorded.client.get_run(recorded.first.run_id)
    assert run.data.metrics["peak_memory_mb.search"] == 250


def test_small_files_lie_in_the_run_as_under_artifacts_and_weights_do_not(recorded: Recorded) -> None:
    places = ("evaluation", "data", "audit", "split", "quantized")
    held = {file.path for place in places for file in recorded.client.list_artifacts(recorded.first.run_id, place)}
    assert {"evaluation/metrics.json", "evaluation/predictions.parquet", "data/images.parquet"} <= held
    assert {"audit/summary.json", "split/report.json", "quantized/ladder.json"} <= held
    assert not [path for path in held if path.endswith((".tflite", ".npz", ".npy"))]


def test_every_trial_is_a_child_with_the_same_keys(recorded: Recorded) -> None:
    experiment = recorded.client.get_experiment_by_name("automl-cnn")
    children = recorded.client.search_runs(
        [experiment.experiment_id], f"tags.mlflow.parentRunId = '{recorded.first.run_id}'"
    )
    assert sorted(child.info.status for child in children) == ["FAILED", "FINISHED", "FINISHED"]
    assert {frozenset(child.data.params) for child in children} == {
        frozenset({"backbone", "fidelity", "images", "dropout"})
    }
    best = max((child.data.metrics for child in children), key=lambda metrics: metrics.get("score", 0))
    assert best == {"score": 0.9, "accuracy": 0.91, "epochs": 25, "seconds": 1.2}


def test_one_logged_model_holds_all_that_answering_takes_and_its_scores(recorded: Recorded) -> None:
    run = recorded.client.get_run(recorded.first.run_id)
    (output,) = run.outputs.model_outputs
    model = recorded.client.get_logged_model(output.model_id)
    assert str(model.status) == "READY"
    scores = {metric.key: (metric.value, metric.dataset_name) for metric in model.metrics}
    assert scores["test.accuracy"] == (run.data.metrics["test.accuracy"], "test")
    version = recorded.client.get_model_version("automl-cnn", "1")
    assert (version.source, version.run_id) == (f"models:/{model.model_id}", recorded.first.run_id)
    folder = Path(model.artifact_location)
    served = {path.name for path in (folder / "artifacts" / "quantized").iterdir()}
    assert served == {"model.tflite", "labels.txt", "preprocessing.json", "reference.npz", "golden"}
    required = (folder / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in required] == [
        "mlflow-skinny", "numpy", "pandas", "pillow", "ai-edge-litert",
    ]  # fmt: skip


def test_the_registered_model_answers_as_predict_does_from_bytes_base64_and_where_it_is_allowed_paths(
    recorded: Recorded, loaded: Any, loaded_for_paths: Any
) -> None:
    paths = sorted((recorded.project / "data").glob("*/00.png"))
    expected = Predictor(recorded.files.quantized / "model.tflite").predict(paths)
    given = [
        (loaded, [path.read_bytes() for path in paths]),
        (loaded, [base64.b64encode(path.read_bytes()).decode() for path in paths]),
        (loaded_for_paths, [str(path) for path in paths]),
    ]
    answers = [model.predict(pd.DataFrame({"image": images})) for model, images in given]
    assert answers[0]["label"].tolist() == [one.label for one in expected] == ["blue", "green", "red"]
    assert [json.loads(row) for row in answers[0]["probabilities"]] == [one.probabilities for one in expected]
    for column in ("probability", "abstain", "ood_score", "out_of_distribution"):
        assert answers[0][column].tolist() == [getattr(one, column) for one in expected]
    pd.testing.assert_frame_equal(answers[0], answers[1])
    pd.testing.assert_frame_equal(answers[0], answers[2])


@pytest.mark.parametrize("form", ["csv", "parquet", "split", "records", "bare"])
def test_no_request_over_http_has_a_file_of_the_server_read(recorded: Recorded, loaded: Any, form: str) -> None:
    from mlflow.pyfunc.scoring_server import invocations

    table = pd.DataFrame({"image": [str(recorded.project / "data" / "green" / "03.png")]})
    asked = {"params": {"paths": True}}
    body, kind = {
        "csv": (table.to_csv(index=False).encode(), "text/csv"),
        "parquet": (table.to_parquet(), "application/vnd.apache.parquet"),
        "split": (json.dumps({"dataframe_split": table.to_dict("split"), **asked}), "application/json"),
        "records": (json.dumps({"dataframe_records": table.to_dict("records"), **asked}), "application/json"),
        "bare": (json.dumps({"input": "", "image": table["image"][0], "paths": True}), "application/json"),
    }[form]
    try:
        said = invocations(body, kind, loaded, loaded.metadata.get_input_schema()).response
    except Exception as error:  # noqa: BLE001 - MLflow refuses each form in a way of its own
        said = str(error)
    assert "probability" not in said


def test_a_file_that_is_too_large_is_not_read_to_its_end(
    recorded: Recorded, loaded_for_paths: Any, tmp_path: Path
) -> None:
    import mlflow

    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(mlflow.MlflowException, match=r"image\[0\]: expected a file of at most 268,435,456 bytes"):
        loaded_for_paths.predict(pd.DataFrame({"image": [str(path)]}))


def test_its_signature_and_its_example_say_what_goes_in_and_out(loaded: Any) -> None:
    signature = loaded.metadata.signature
    assert signature.inputs.input_names() == ["image"]
    outputs = ["label", "probability", "probabilities", "abstain", "ood_score", "out_of_distribution"]
    assert signature.outputs.input_names() == loaded.predict(loaded.input_example).columns.tolist() == outputs


@pytest.mark.parametrize("image", [b"no image", "no image", "/nowhere.png", b""])
def test_what_is_no_image_is_refused_by_row(loaded: Any, image: bytes | str) -> None:
    import mlflow

    with pytest.raises(mlflow.MlflowException, match=r"image\[0\]: expected the bytes of an image file"):
        loaded.predict(pd.DataFrame({"image": [image]}))


def test_the_registered_model_needs_neither_the_package_nor_tensorflow(recorded: Recorded) -> None:
    script = (
        "import sys; sys.modules['automl_cnn'] = None; sys.modules['tensorflow'] = None; import mlflow, pandas as pd; "
        "mlflow.set_tracking_uri('sqlite:///mlflow.db'); model = mlflow.pyfunc.load_model(sys.argv[1]); "
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


@pytest.mark.parametrize("other", ["server", "experiment", "parameters"])
def test_the_same_model_elsewhere_or_under_other_parameters_is_a_run_of_its_own_and_no_second_version(
    recorded: Recorded, tmp_path: Path, other: str
) -> None:
    import mlflow

    tracking, evaluate = recorded.params.tracking, recorded.params.evaluate
    if other == "server":
        tracking = tracking.model_copy(update={"uri": f"sqlite:///{tmp_path}/other.db", "registry_uri": tracking.uri})
    elif other == "experiment":
        tracking = tracking.model_copy(update={"experiment": "another"})
    else:
        evaluate = evaluate.model_copy(update={"latency_runs": 77})
    params = recorded.params.model_copy(update={"tracking": tracking, "evaluate": evaluate})
    versions = len(recorded.client.search_model_versions("name = 'automl-cnn'"))
    made, again = (record_run(params, recorded.files) for _ in range(2))
    assert made.version == recorded.first.version
    assert made.run_id == again.run_id != recorded.first.run_id
    assert len(recorded.client.search_model_versions("name = 'automl-cnn'")) == versions
    client = mlflow.MlflowClient(tracking.uri, recorded.params.tracking.uri)
    run = client.get_run(made.run_id)
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == tracking.experiment
    assert run.data.params["evaluate.latency_runs"] == str(evaluate.latency_runs)
    assert read_source("1", client, "automl-cnn").data_digest == made.data_digest  # as `compare` and `promote` read it


@pytest.mark.parametrize("part", ["_log_metrics", "_log_model_metrics"])
def test_a_record_that_was_cut_between_two_writes_of_one_call_is_completed(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    met, write = set(), getattr(SqlAlchemyStore, part)

    def fail_once(store: Any, run_id: str, metrics: list[Any], **options: Any) -> None:
        batch = run_id, *(metric.key for metric in metrics)
        if metrics and batch not in met:
            met.add(batch)
            raise MlflowException("cut")
        write(store, run_id, metrics, **options)

    monkeypatch.setattr(SqlAlchemyStore, part, fail_once)
    tracking = recorded.params.tracking.model_copy(update={"experiment": part})
    made = record_run(recorded.params.model_copy(update={"tracking": tracking}), recorded.files, pauses_s=[0] * 20)
    assert len(met) > 4
    assert numbers_in(recorded, made.run_id) == numbers_in(recorded, recorded.first.run_id)


def numbers_in(recorded: Recorded, run_id: str) -> dict[str, Any]:
    """All that MLflow holds of a run, its trials and its model in numbers: how often, and how much."""
    client = recorded.client
    parent = client.get_run(run_id)
    children = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")
    (output,) = parent.outputs.model_outputs
    of_model = {metric.key: metric.value for metric in client.get_logged_model(output.model_id).metrics}
    held: dict[str, Any] = {"model": of_model}
    for name, run in [("", parent), *((child.data.tags["trial_id"], child) for child in children)]:
        histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
        held[name] = {key: [(one.value, one.step) for one in history] for key, history in histories.items()}
    return held


def test_other_results_become_the_challenger(recorded: Recorded) -> None:
    path = recorded.files.evaluation / "metrics.json"
    before = read_json(path)
    write_json(path, {**before, "test": {**before["test"], "accuracy": 0.1}})
    other = record_run(recorded.params, recorded.files)
    write_json(path, before)
    assert (other.version, other.aliases) == ("2", ("challenger",))
    assert record_run(recorded.params, recorded.files).version == "1"  # `dvc checkout` of an earlier run


def test_a_version_of_another_model_is_not_promoted_in_the_place_of_ours(recorded: Recorded) -> None:
    client, name = recorded.client, recorded.params.tracking.model_name
    client.create_registered_model("other")
    client.create_model_version("other", "s3://nowhere/model")
    before = dict(client.get_registered_model(name).aliases)
    with pytest.raises(PromotionError, match=f"expected a version of {name} .*; received one of other"):
        promote(recorded.params, "other/1", "because")
    assert dict(client.get_registered_model(name).aliases) == before


def test_afterwards_mlflow_follows_the_environment_again(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == "http://127.0.0.1:9"


def test_a_copied_project_does_not_write_into_the_original(recorded: Recorded, tmp_path: Path) -> None:
    path = recorded.files.evaluation / "metrics.json"
    before = read_json(path)
    write_json(path, {**before, "test": {**before["test"], "accuracy": 0.5}})
    with pytest.raises(ArtifactError, match=r"expected an experiment whose files lie in .*copied or moved"):
        record_run(recorded.params, recorded.files, project=tmp_path)
    write_json(path, before)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://ann:secret@127.0.0.1:9", "http://ann:***@127.0.0.1:9"),
        ("postgresql+psycopg2://ann:secret@127.0.0.1:9/mlflow", "postgresql+psycopg2://ann:***@127.0.0.1:9/mlflow"),
    ],
)
def test_a_server_that_is_away_is_told_of_at_once_in_three_parts_and_nothing_is_lost(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, uri: str, shown: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    started = time.perf_counter()
    with pytest.raises(TrackingError) as raised:
        record_run(recorded.params, recorded.files, pauses_s=())
    said = str(raised.value)
    assert time.perf_counter() - started < 20
    assert said.startswith(f"{shown}: expected an MLflow that answers (MLFLOW_TRACKING_URI)")
    assert "Everything is on disk" in said
    assert "secret" not in said


def test_a_database_without_its_driver_is_told_with_what_to_install(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mssql+pymssql://127.0.0.1/mlflow")
    with pytest.raises(TrackingError, match="expected the driver of this database; received no module pymssql"):
        record_run(recorded.params, recorded.files, pauses_s=())


def test_no_file_is_left_outside_mlartifacts_and_the_database(recorded: Recorded) -> None:
    names = {path.name for path in recorded.project.iterdir()}
    assert names <= {"artifacts", "data", "dvc.lock", "mlartifacts", "mlflow.db", "params.yaml"}
