"""evaluation/: what is scored is the file that ships, on the test split alone, and `predict` agrees with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from colour_model import LABELS, colour_model
from colour_run import write_colour_run

from automl_cnn.artifacts import (
    MANIFEST,
    PREDICTIONS,
    SPLITS,
    Files,
    read_json,
    read_table,
    write_json,
    write_lines,
    write_table,
)
from automl_cnn.config import EvaluateParams
from automl_cnn.errors import ArtifactError, ModelFileError
from automl_cnn.evaluate.failures import FAILURES
from automl_cnn.evaluate.judge import judge_shipped, write_evaluation
from automl_cnn.reference.record import REFERENCE, Reference
from automl_cnn.serve.predict import Predictor

PARAMS = EvaluateParams(bootstrap=200, latency_runs=10)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = write_colour_run(tmp_path_factory.mktemp("project"))
    write_evaluation(files.evaluation, judge_shipped(files, PARAMS))
    return files


@pytest.fixture
def files(finished: Files, tmp_path: Path) -> Files:
    shutil.copytree(finished.root, tmp_path / "artifacts")
    return Files(tmp_path / "artifacts")


def test_the_three_wrong_labels_among_nine_test_images_are_the_only_mistakes(finished: Files) -> None:
    metrics = read_json(finished.evaluation / "metrics.json")
    assert metrics["test"]["n"] == 9
    assert metrics["test"]["accuracy"] == pytest.approx(6 / 9)
    low, high = metrics["test"]["accuracy_ci95"]
    assert 0 <= low <= 6 / 9 <= high <= 1
    assert read_json(finished.evaluation / "method.json")["groups"] == 3


def test_every_class_has_scores_with_intervals_and_areas(finished: Files) -> None:
    test = read_json(finished.evaluation / "metrics.json")["test"]
    assert test["brier_ci95"][0] <= test["brier"] <= test["brier_ci95"][1]
    assert list(test["top_k"]) == list(test["top_k_ci95"]) == ["2"]
    for line in test["per_class"]:
        for name in ("precision", "recall", "f1"):
            assert line[f"{name}_ci95"][0] <= line[name] <= line[f"{name}_ci95"][1]
        assert 0 <= line["average_precision"] <= 1
    areas = [line["roc_auc"] for line in test["per_class"]]
    assert test["roc_auc"] == pytest.approx(sum(areas) / 3)


def test_the_wrong_labels_are_marked_as_doubtful_and_counted_all_the_same(finished: Files) -> None:
    suspected = read_json(finished.evaluation / "metrics.json")["suspected_labels"]
    assert suspected == {"images": 3, "mistakes": 3, "accuracy_without": 1.0}
    failures = read_table(finished.evaluation / "failures.parquet", FAILURES)
    mistakes = failures[failures["kind"] == "mistake"]
    assert mistakes["label_suspected"].tolist() == [True] * 3
    assert mistakes["suggested_label"].tolist() == mistakes["predicted"].tolist()
    splits = read_table(finished.split / "splits.parquet", SPLITS).set_index("image_id")["split"]
    assert {splits[image_id] for neighbours in failures["neighbours"] for image_id in neighbours} == {"train"}


def test_pictures_like_those_of_training_are_not_strange(finished: Files) -> None:
    strange = read_json(finished.evaluation / "metrics.json")["out_of_distribution"]
    table = read_table(finished.evaluation / "predictions.parquet", PREDICTIONS)
    assert strange["images"] == int((table["ood_score"] > strange["threshold"]).sum())
    assert strange["share"] == strange["images"] / 9


def test_coverage_is_told_at_every_precision_of_the_reference(finished: Files) -> None:
    levels = read_json(finished.evaluation / "coverage.json")
    assert [level["wanted"] for level in levels] == [0.90, 0.95, 0.99]
    assert all([one["label"] for one in level["classes"]] == LABELS for level in levels)


def test_a_column_of_the_users_csv_may_bear_the_name_of_a_property(files: Files) -> None:
    manifest = read_table(files.manifest, MANIFEST)
    write_table(files.manifest, manifest.assign(brightness="dull", group="ward 3"), MANIFEST)
    found = judge_shipped(files, PARAMS).slices
    assert (found["looks"], found["slices"]) == (0, []), "nine images are too few for any slice"


def test_a_reference_of_another_file_is_refused(files: Files) -> None:
    reference = Reference.load(files.quantized / REFERENCE)
    replace(reference, model_sha256="0" * 64).save(files.quantized / REFERENCE)
    with pytest.raises(ArtifactError, match=r"reference\.npz: expected the reference of model\.tflite"):
        judge_shipped(files, PARAMS)


def test_without_embeddings_it_says_how_to_get_them(files: Files) -> None:
    shutil.rmtree(files.embeddings)
    with pytest.raises(ArtifactError, match=r"embeddings.*Run `dvc repro features`"):
        judge_shipped(files, PARAMS)


def test_the_float_model_stands_beside_the_file_and_the_difference_is_paired(finished: Files) -> None:
    metrics = read_json(finished.evaluation / "metrics.json")
    assert set(metrics["test"]) == set(metrics["float"])
    assert metrics["difference"]["accuracy"] == 0
    low, high = metrics["difference"]["accuracy_ci95"]
    assert low == -high < -0.5, "three groups that agree are no proof"
    assert metrics["difference"]["agreement"] == 1


def test_the_size_and_rung_are_those_of_the_file_that_ships(finished: Files) -> None:
    model = read_json(finished.evaluation / "metrics.json")["model"]
    assert model["path"] == "quantized/model.tflite"
    assert model["rung"] == "qat_int8"
    assert model["size_bytes"] == (finished.quantized / "model.tflite").stat().st_size
    assert 0 < model["latency_ms_median"] <= model["latency_ms_p95"]


def test_predict_on_the_original_files_gives_the_scored_probabilities(finished: Files) -> None:
    table = read_table(finished.evaluation / "predictions.parquet", PREDICTIONS)
    paths = [finished.root.parent / "data" / path for path in table["path"]]
    found = Predictor(finished.quantized / "model.tflite").predict(paths)
    assert [one.label for one in found] == table["predicted"].tolist()
    for one, row in zip(found, table.to_dict("records"), strict=True):
        assert one.probabilities == {label: row[f"p_{label}"] for label in LABELS}


def test_only_images_of_the_test_split_are_predicted(finished: Files) -> None:
    splits = read_table(finished.split / "splits.parquet", SPLITS)
    table = read_table(finished.evaluation / "predictions.parquet", PREDICTIONS)
    assert set(table["image_id"]) == set(splits.loc[splits["split"] == "test", "image_id"])


def test_the_plots_have_a_row_an_image_and_a_row_a_bin(finished: Files) -> None:
    confusion = pd.read_csv(finished.evaluation / "confusion.csv")
    calibration = pd.read_csv(finished.evaluation / "calibration.csv")
    assert list(confusion.columns) == ["actual", "predicted"]
    assert len(confusion) == calibration["count"].sum() == 9


def test_another_confidence_stands_beside_the_95_percent_interval(files: Files) -> None:
    test = judge_shipped(files, EvaluateParams(bootstrap=200, latency_runs=10, confidence=0.8)).metrics["test"]
    assert test["accuracy_ci95"][0] <= test["accuracy_ci80"][0] <= test["accuracy_ci80"][1] <= test["accuracy_ci95"][1]


def test_an_evaluation_repeats_exactly_but_for_its_times(files: Files) -> None:
    before = {path.name: path.read_bytes() for path in files.evaluation.iterdir()}
    write_evaluation(files.evaluation, judge_shipped(files, PARAMS))
    after = {path.name: path.read_bytes() for path in files.evaluation.iterdir()}
    for name in sorted(set(before) - {"metrics.json", "latency.json"}):
        assert before[name] == after[name], name
    first, second = (json.loads(content["metrics.json"]) for content in (before, after))
    assert [first[key] for key in ("test", "float", "difference")] == [
        second[key] for key in ("test", "float", "difference")
    ]


def test_an_empty_test_split_is_an_error_of_three_parts(files: Files) -> None:
    splits = read_table(files.split / "splits.parquet", SPLITS)
    write_table(files.split / "splits.parquet", splits[splits["split"] != "test"], SPLITS)
    with pytest.raises(ArtifactError, match=r"splits\.parquet: expected images in the test split; received none\. "):
        judge_shipped(files, PARAMS)


def test_labels_that_the_model_does_not_know_are_named(files: Files) -> None:
    write_lines(files.quantized / "labels.txt", ["red", "green", "violet"])
    with pytest.raises(ArtifactError, match=r"labels\.txt: expected every class.*received none of blue"):
        judge_shipped(files, PARAMS)


def test_a_model_with_another_number_of_classes_is_refused(files: Files) -> None:
    (files.quantized / "model.tflite").write_bytes(colour_model(32, classes=5))
    with pytest.raises(ModelFileError, match=r"model\.tflite: expected 3 probabilities.*received 5"):
        judge_shipped(files, PARAMS)


def test_a_ladder_without_a_shipped_rung_is_refused(files: Files) -> None:
    write_json(files.quantized / "ladder.json", [{"rung": "float32", "path": "float32.tflite", "shipped": False}])
    with pytest.raises(ArtifactError, match=r"ladder\.json: expected one shipped rung.*received 0 shipped"):
        judge_shipped(files, PARAMS)
