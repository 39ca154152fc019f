"""What the page and the card say is what the artifacts hold: levels, commits, classes, parts of the images."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_run import write_report_run

from automl_cnn.artifacts import Files, read_json, read_lines, write_json, write_lines
from automl_cnn.config import Params
from automl_cnn.reference.record import REFERENCE, Reference
from automl_cnn.report.card import write_card
from automl_cnn.report.facts import Facts, collect_facts
from automl_cnn.report.page import render_page

Run = tuple[Params, Files]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_report_run(tmp_path_factory.mktemp("project"), ["red", "green", "blue"])


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished[1].root, tmp_path / "artifacts")
    return finished[0], Files(tmp_path / "artifacts")


def _said(facts: Facts) -> tuple[str, str]:
    """The page and the card, with plain spaces."""
    page, card = (
        text.replace("\u00a0", " ").replace("&nbsp;", " ") for text in (render_page(facts), write_card(facts))
    )
    return page, card


def _advice(facts: Facts) -> str:
    return " ".join(f"{piece.lead} {piece.text}" for piece in facts.advice).replace("\u00a0", " ")


def _answered(level: dict[str, Any], images: int, hits: int) -> dict[str, Any]:
    """A level of coverage.json that answers some of 100 test images."""
    return level | {
        "images": 100, "answered": images, "coverage": images / 100, "coverage_ci95": [0.21, 0.93],
        "precision": hits / images, "precision_ci95": [0.32, 0.97],
    }  # fmt: skip


def test_the_level_on_the_first_screen_is_the_one_by_which_predict_abstains(run: Run) -> None:
    params, files = run
    usual = Reference.load(files.quantized / REFERENCE).precision
    path = files.evaluation / "coverage.json"
    shares = {0.90: (80, 72), 0.95: (50, 49), 0.99: (20, 20)}
    write_json(path, [_answered(level, *shares[level["wanted"]]) for level in read_json(path)])
    facts = collect_facts(params, files)
    page, card = _said(facts)
    coverage, precision = shares[usual][0], 100 * shares[usual][1] / shares[usual][0]
    assert f"thresholds for {usual:.0%}".replace("%", " %") in page
    assert f"<b>{coverage} %</b>" in page
    assert "without a person (95 % interval 21.0 to 93.0 %)" in page
    assert "rightly (32.0 to 97.0 %)" in page
    assert f"It can answer {coverage} % alone. Above thresholds set for {100 * usual:.0f} %" in _advice(facts)
    assert f"{precision:.1f} % of them" in page
    assert f"abstain by the thresholds for {100 * usual:.0f} %" in card


def _git(project: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(["git", *who, *arguments], cwd=project, capture_output=True, text=True, check=True).stdout


def test_a_run_from_changes_that_were_not_committed_gives_no_checkout_that_would_restore_something_else(
    run: Run,
) -> None:
    params, files = run
    project = files.root.parent
    (project / ".gitignore").write_text("artifacts\n")
    for name in ("params.yaml", "dvc.lock"):
        (project / name).write_text("a: 1\n")
    _git(project, "init", "-q")
    _git(project, "add", ".")
    _git(project, "commit", "-q", "-m", "first")
    commit = _git(project, "rev-parse", "HEAD").strip()
    (project / "dvc.lock").write_text("stages: {}\n")  # as every run of the pipeline leaves it
    page, card = _said(collect_facts(params, files))
    assert f"git checkout {commit} &amp;&amp; dvc repro" in page
    assert "not committed" not in page + card
    (project / "params.yaml").write_text("a: 2\n")
    page, card = _said(collect_facts(params, files))
    assert "git checkout" not in page
    assert f"<code>{commit}</code> <b>plus changes that were not committed</b>" in page
    assert f"`{commit}`, plus changes that were not committed" in card


def test_a_class_without_test_images_has_no_score_and_stands_last(run: Run) -> None:
    params, files = run
    path = files.evaluation / "metrics.json"
    metrics = read_json(path)
    unseen = dict.fromkeys(("precision", "recall", "f1", "precision_ci95", "recall_ci95", "f1_ci95", "roc_auc"))
    metrics["test"]["per_class"].insert(
        0, {**metrics["test"]["per_class"][0], "label": "amber", "support": 0, **unseen}
    )
    for line in metrics["test"]["per_class"][1:]:
        line["recall"] = 0.9
    write_json(path, metrics)
    write_lines(files.quantized / "labels.txt", ["amber", *read_lines(files.quantized / "labels.txt")])
    facts = collect_facts(params, files)
    assert [line.label for line in facts.scores.classes][-1] == "amber"
    page, card = _said(facts)
    assert "| amber | – | – | – | 0 |" in card
    assert '<td class="name">amber</td>' + 3 * '<td class="n">–</td>' in page
    assert "Nothing is known of amber: no test image." in _advice(facts)


def _part(value: str, accuracy: float, expected: float) -> dict[str, Any]:
    """A weak part of slices.json."""
    return {
        "kind": "column", "name": "camera", "value": value, "images": 60, "accuracy": accuracy,
        "accuracy_ci95": [accuracy - 0.13, accuracy + 0.12], "expected": expected, "difference": -0.44,
        "difference_ci95": [-0.56, -0.31], "p_adjusted": 0.001, "weak": True,
    }  # fmt: skip


def test_more_images_are_asked_for_only_of_a_part_that_is_weaker_than_its_classes(run: Run) -> None:
    params, files = run
    path = files.evaluation / "slices.json"
    hard, old = _part("mostly of a hard class", 0.50, 0.53), _part("old", 0.52, 0.90)
    write_json(path, read_json(path) | {"looks": 5, "slices": [hard, old]})
    facts = collect_facts(params, files)
    page, card = _said(facts)
    told = "camera old: 52 % of 60 test images right, where 90 % are to be expected of its classes. Collect more"
    assert told in _advice(facts)
    assert "camera old" in card
    assert '<td class="n" data-v="0.53">53.0 %</td><td class="n" data-v="-0.44">−44.0</td>' in page
    assert '<td class="n" data-v="[-0.56, -0.31]">−56.0 to −31.0</td>' in page
    assert "1 part of these is not clearly below what is to be expected of its classes" in page
    write_json(path, read_json(path) | {"slices": [hard]})
    assert "Collect more of these" not in _advice(collect_facts(params, files))


def test_a_class_that_is_too_rare_for_a_learning_curve_is_named(run: Run) -> None:
    params, files = run
    path = files.evaluation / "learning_curve.json"
    rare = {"label": "amber", "training_images": 2, "validation_images": 1, "note": ""}
    write_json(path, read_json(path) | {"left_out": [rare]})
    page, _ = _said(collect_facts(params, files))
    assert "collect more first.</b> amber (2 to learn from, 1 to judge by).</p>" in page
