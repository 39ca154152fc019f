"""The whole pipeline on real images, killed twice on the way: nothing is mocked, nothing is lost.

The tests of this module run in order on one project; each states one thing that a user relies on.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
from conftest import COPIED, REPOSITORY, Project, stages_run

from automl_cnn.artifacts import MANIFEST, PREDICTIONS, SPLITS, TRIALS, Files, read_json, read_table
from automl_cnn.evaluate.explain import EXPLANATIONS, load_heat
from automl_cnn.evaluate.failures import FAILURES
from automl_cnn.litert import LiteModel
from automl_cnn.train.candidate import Candidate

pytestmark = pytest.mark.slow
MEDIAPIPE = REPOSITORY / ".venv" / "mediapipe"  # on a path of its own: it asks for another absl-py than tfmot


def trials_logged(project: Project) -> list[dict[str, object]]:
    """Finished trials in the study's log, whole lines only."""
    logs = list((project.folder / ".automl-cnn" / "search").glob("*.jsonl"))
    lines = [line for log in logs for line in log.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.fixture(scope="module")
def killed_in_search(project: Project) -> list[dict[str, object]]:
    """The trials that were finished when the first run was killed."""
    project.kill_when(lambda: len(trials_logged(project)) >= 2)
    return trials_logged(project)


@pytest.fixture(scope="module")
def killed_in_train(project: Project, killed_in_search: list[dict[str, object]]) -> int:
    """The number of checkpoints there were when the second run was killed: one, after the first epoch."""
    folder = project.folder / ".automl-cnn" / "train"
    project.kill_when(lambda: any(folder.glob("*.npz")))
    return len(list(folder.glob("[!.]*.npz")))


@pytest.fixture(scope="module")
def finished(project: Project, killed_in_train: int) -> Files:
    """The artifacts of the third run, which nobody killed."""
    assert killed_in_train == 1
    done = project.run("run")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (project.folder / "last.log").write_text(done.stdout + done.stderr)
    return Files(project.folder / "artifacts")


def test_a_search_killed_with_signal_9_goes_on_and_repeats_no_finished_trial(
    project: Project, finished: Files, killed_in_search: list[dict[str, object]]
) -> None:
    logged = trials_logged(project)
    assert logged[: len(killed_in_search)] == killed_in_search
    values = [json.dumps(trial["values"], sort_keys=True) for trial in logged]
    assert len(set(values)) == len(values)
    assert len(read_table(finished.search / "trials.parquet", TRIALS)) == len(logged)


def test_a_training_killed_with_signal_9_completes_and_leaves_no_checkpoint(project: Project, finished: Files) -> None:
    (tuned,) = (trial for trial in trials_logged(project) if trial["phase"] == "fine_tuning")
    assert (tuned["status"], tuned["epochs"]) == ("completed", 2)
    assert not list((project.folder / ".automl-cnn" / "train").glob("*.npz"))
    winner = Candidate.load(finished.search / "best.yaml")
    epochs = pd.read_csv(finished.model / "history.csv")["epoch"].tolist()
    assert epochs == ([0, 1, 2] if "unfreeze_from_block" in winner.values else [0])


def test_the_closing_table_names_times_accuracy_size_latency_and_the_report(project: Project, finished: Files) -> None:
    text = (project.folder / "last.log").read_text()
    for word in ("quantize", "total", "accuracy", "95 % interval", "MB", "ms an image", "report.html"):
        assert word in text


def test_every_image_is_accounted_for_and_no_group_stands_on_two_sides(finished: Files) -> None:
    manifest, splits = read_table(finished.manifest, MANIFEST), read_table(finished.split / "splits.parquet", SPLITS)
    assert len(manifest) == len(splits) == 599
    assert splits.groupby("group")["split"].nunique().max() == 1
    assert json.loads((finished.split / "report.json").read_text())["leaks"] == 0


def test_the_shipped_file_is_the_scored_file_and_it_has_learnt(finished: Files) -> None:
    ladder = json.loads((finished.quantized / "ladder.json").read_text())
    rungs = {rung["rung"]: rung for rung in ladder}
    shipped = next(rung for rung in ladder if rung["shipped"])
    assert (finished.quantized / "model.tflite").read_bytes() == (finished.quantized / shipped["path"]).read_bytes()
    assert {"float32", "ptq_int8", "qat_int8"} <= set(rungs)
    metrics = json.loads((finished.evaluation / "metrics.json").read_text())
    low, high = metrics["test"]["accuracy_ci95"]
    assert low <= metrics["test"]["accuracy"] <= high
    assert metrics["test"]["accuracy"] > 0.8  # ten classes; chance is 0.1
    assert metrics["model"]["size_bytes"] == (finished.quantized / "model.tflite").stat().st_size


def test_every_image_worth_looking_at_has_neighbours_of_the_training_side_and_a_heat_map(finished: Files) -> None:
    failures = read_table(finished.evaluation / "failures.parquet", FAILURES)
    splits = read_table(finished.split / "splits.parquet", SPLITS).set_index("image_id")["split"]
    assert {splits[image_id] for neighbours in failures["neighbours"] for image_id in neighbours} == {"train"}
    index = read_table(finished.explanations / "index.parquet", EXPLANATIONS)
    assert set(index["image_id"]) == set(failures["image_id"])
    heat = load_heat(finished.explanations)
    assert heat["predicted"].shape == heat["label"].shape == (len(index), 64, 64)
    assert heat["predicted"].max(axis=(1, 2)).max() == 255


def test_the_evaluation_says_whether_more_labels_would_help_and_what_silence_costs(finished: Files) -> None:
    curve = json.loads((finished.evaluation / "learning_curve.json").read_text())
    assert len(curve["classes"]) == 10
    assert curve["overall"]["points"][-1]["score"] > curve["overall"]["points"][0]["score"]
    coverage = json.loads((finished.evaluation / "coverage.json").read_text())
    answered = [level["answered"] for level in coverage]
    assert answered == sorted(answered, reverse=True)


def test_the_shipped_file_takes_raw_bytes_and_holds_no_float(finished: Files) -> None:
    model = LiteModel(finished.quantized / "model.tflite")
    assert model.input_dtype == np.uint8
    assert model.input_shape == (1, 64, 64, 3)
    assert "float32" not in model.tensor_dtypes()


def test_predicting_a_file_gives_the_probabilities_that_were_scored(project: Project, finished: Files) -> None:
    scored = read_table(finished.evaluation / "predictions.parquet", PREDICTIONS).head(5)
    paths = [str(project.folder / "data/digits" / path) for path in scored["path"]]
    done = project.run("predict", "artifacts/quantized/model.tflite", *paths, "--json")
    predictions = json.loads(done.stdout)
    assert [prediction["path"] for prediction in predictions] == paths
    for prediction, (_, row) in zip(predictions, scored.iterrows(), strict=True):
        assert prediction["label"] == row["predicted"]
        assert prediction["abstain"] in (True, False)
        assert prediction["ood_score"] >= 0
        for label, probability in prediction["probabilities"].items():
            assert probability == pytest.approx(row[f"p_{label}"], abs=1e-6)


def test_the_record_holds_the_run_its_trials_and_a_registered_model(project: Project, finished: Files) -> None:
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        (runs,) = database.execute("select count(*) from runs").fetchone()
        aliases = {row[0] for row in database.execute("select alias from registered_model_aliases")}
    assert runs == 1 + len(trials_logged(project))
    assert aliases == {"challenger"}  # only `automl-cnn promote` makes a champion


def test_the_report_is_one_file_that_loads_nothing(finished: Files) -> None:
    page = (finished.report / "report.html").read_text()
    assert 'src="http' not in page
    assert "<script src" not in page


def test_running_again_looks_at_the_images_only_and_is_quick(project: Project, finished: Files) -> None:
    started = time.perf_counter()
    done = project.dvc("repro")
    seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    assert stages_run(done.stdout) == ["ingest"]
    assert seconds < 30


def test_changing_a_quantize_parameter_reruns_quantize_and_what_follows(project: Project, finished: Files) -> None:
    path = project.folder / "params.yaml"
    before = path.read_text()
    assert project.run("set", "quantize.learning_rate=3e-5").returncode == 0
    try:
        planned = stages_run(project.dvc("repro", "--dry").stdout)
        following = stages_run(project.dvc("repro", "--dry", "--force", "--downstream", "quantize").stdout)
    finally:
        path.write_text(before)
    assert "quantize" in planned
    assert not {"features", "audit", "split", "search", "train"} & set(planned)
    assert following == ["quantize", "evaluate", "explain", "report", "register"]


def test_metrics_and_plots_are_those_of_dvc(project: Project, finished: Files) -> None:
    assert "artifacts/evaluation/metrics.json" in project.dvc("metrics", "show").stdout
    shown = project.dvc("plots", "show", "-o", "plots")
    assert shown.returncode == 0, shown.stderr
    assert "confusion" in (project.folder / "plots" / "index.html").read_text()


def test_an_export_gives_the_same_answers_in_every_runtime(project: Project, finished: Files) -> None:
    done = project.run("export", "--format", "tflite,keras,savedmodel,onnx,openvino", "--out", "delivered")
    assert done.returncode == 0, done.stdout + done.stderr
    for runtime in ("ai-edge-litert", "keras", "tensorflow", "onnxruntime", "openvino"):
        (line,) = (line for line in done.stdout.splitlines() if f" in {runtime} " in line)
        assert ": as expected" in line
    folder = project.folder / "delivered"
    expected = json.loads((folder / "golden" / "expected.json").read_text())
    assert expected["classes"] == (folder / "labels.txt").read_text().split()
    assert len(list((folder / "golden").glob("*.png"))) == len(expected["images"]) > 0


def test_mediapipe_reads_the_labels_out_of_the_shipped_file_and_answers_as_it_was_scored(
    project: Project, finished: Files
) -> None:
    if not MEDIAPIPE.exists():
        pytest.skip("MediaPipe is not installed: make .venv/mediapipe.stamp")
    assert "float32" not in LiteModel(finished.quantized / "model.tflite").tensor_dtypes()
    done = subprocess.run(
        project.command("verify", "delivered"), cwd=project.folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{MEDIAPIPE}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "mediapipe" in line)
    images = len(list((project.folder / "delivered" / "golden").glob("*.png")))
    assert f"as expected, {images} of {images} images of the same class" in line


def test_an_export_that_answers_otherwise_is_found_out(project: Project, finished: Files) -> None:
    delivered = project.folder / "delivered"
    for name in ("model.keras", "model.onnx", "model.xml", "model.bin"):  # their runtimes take their time
        (delivered / name).unlink()
    shutil.rmtree(delivered / "saved_model")
    path = delivered / "golden" / "expected.json"
    honest = path.read_text()
    expected = json.loads(honest)
    expected["images"][0]["shipped"] = expected["images"][0]["shipped"][::-1]
    path.write_text(json.dumps(expected))
    done = project.run("verify", "delivered")
    path.write_text(honest)
    assert done.returncode == 2
    assert "NOT as expected" in done.stdout
    assert "Do not ship these files" in done.stderr
    (delivered / "model.tflite").write_bytes(b"half a file")
    assert project.run("verify", "delivered").returncode == 2


def test_a_format_that_does_not_exist_and_a_run_that_is_not_finished_are_said(
    project: Project, finished: Files
) -> None:
    done = project.run("export", "--format", "tflite,coreml")
    assert done.returncode == 2
    assert "received coreml" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_first_model_is_promoted_and_a_run_compared_with_its_own_files_differs_in_nothing(
    project: Project, finished: Files
) -> None:
    done = project.run("promote")
    assert done.returncode == 0, done.stderr
    assert "automl-cnn version 1 is champion now" in done.stdout
    told = json.loads(project.run("compare", "champion", ".", "--json").stdout)
    assert not any((told["params"], told["changed"], told["data"]["added"], told["data"]["removed"], told["notes"]))
    assert told["common_test_images"] == told["paired"]["images"] > 80


@pytest.mark.parametrize("budget", [[], pytest.param(["-S", "search.budget_minutes=3"], marks=pytest.mark.exhaustive)])
def test_in_git_an_experiment_runs_and_dvc_shows_how_it_differs(
    project: Project, finished: Files, budget: list[str]
) -> None:
    if (project.folder / ".git").exists():
        shutil.rmtree(project.folder / ".git")
    shutil.copy(REPOSITORY / ".gitignore", project.folder)
    kept = [*COPIED, "dvc.lock", ".gitignore", ".dvc/config", "automl_cnn", "pipelines"]
    kept = [name for name in kept if (project.folder / name).exists()]
    settings = (("user.name", "Ada"), ("user.email", "ada@localhost"))
    commands = [["init", "--quiet"], *(["config", *pair] for pair in settings), ["add", *kept]]
    for command in [*commands, ["commit", "--quiet", "-m", "the first run"]]:
        subprocess.run(["git", *command], cwd=project.folder, check=True)
    assert project.dvc("config", "--local", "core.no_scm", "false").returncode == 0
    done = project.dvc("exp", "run", "--name", "fewer-draws", "-S", "evaluate.bootstrap=150", *budget)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    changed = json.loads(project.dvc("params", "diff", "--json").stdout)
    assert changed["params.yaml"]["evaluate.bootstrap"] == {"old": 200, "new": 150, "diff": -50}
    assert ("search.budget_minutes" in changed["params.yaml"]) == bool(budget)
    differences = json.loads(project.dvc("metrics", "diff", "--all", "--json").stdout)
    accuracy = differences["artifacts/evaluation/metrics.json"]["test.accuracy"]
    assert accuracy["old"] > 0.8
    assert accuracy["new"] == read_json(finished.evaluation / "metrics.json")["test"]["accuracy"]
    assert project.dvc("plots", "diff", "HEAD", "-o", "plots-diff").returncode == 0
    assert "Confusion on the test split" in (project.folder / "plots-diff" / "index.html").read_text()
    shown = project.dvc("exp", "show", "--csv").stdout
    assert "fewer-draws" in shown
    assert "test.accuracy" in shown
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        names = {row[0] for row in database.execute("select value from tags where key = 'dvc.exp.name'")}
    assert names == {"fewer-draws"}
