"""report/ is one safe, self-contained page, whatever the classes are called and however many they are."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_run import write_report_run

from automl_cnn import report
from automl_cnn.artifacts import PREDICTIONS, SPLITS, Files, read_json, read_table, write_json, write_table
from automl_cnn.config import Params
from automl_cnn.errors import ArtifactError
from automl_cnn.evaluate.failures import FAILURES
from automl_cnn.report.card import write_card
from automl_cnn.report.facts import collect_facts
from automl_cnn.report.page import render_page, write_report
from automl_cnn.report.run_facts import read_run
from automl_cnn.report.wording import tame

HOSTILE = [
    "<script>alert(1)</script>",
    "</script></style></textarea><!--",
    "\u202egnp.exe",
    "=1+1",
    '"><img src=http://example.org/x onerror=alert(1)>',
    "{{ 7*7 }}",
    "| *x* [a](b)",
]
Run = tuple[Params, Files]


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text, self.script = "", ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.script += data
        else:
            self.text += data.replace("\u00a0", " ")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    params, files = write_report_run(tmp_path_factory.mktemp("project"), ["red", "green", "blue"])
    write_report(params, files)
    return params, files


@pytest.fixture(scope="module")
def page(finished: Run) -> Page:
    return Page(finished[1].report / "report.html")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Files:
    params, files = write_report_run(tmp_path_factory.mktemp("hostile"), HOSTILE)
    write_report(params, files)
    return files


def test_the_headline_is_the_measured_accuracy_of_the_shipped_file(finished: Run, page: Page) -> None:
    test = read_json(finished[1].evaluation / "metrics.json")["test"]
    low, high = test["accuracy_ci95"]
    assert f"{100 * test['accuracy']:.1f} %" in page.text
    assert (
        f"right on {test['n']} test images it never saw; 95 % interval {100 * low:.1f} to {100 * high:.1f} %"
        in page.text
    )


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "action", "data", "poster"):
            assert value.startswith(("data:image/jpeg;base64,", "data:image/png;base64,", "#")), (tag, name, value[:60])
    assert any(value.startswith("default-src 'none'") for _, name, value in page.attributes if name == "content")


def test_its_one_script_is_the_only_one_that_its_policy_lets_run(page: Page) -> None:
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    assert [attributes for tag, attributes in page.elements if tag == "script"] == [{}]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "fetch" not in page.script
    assert "http" not in page.script


def test_the_style_sheet_loads_nothing_either(finished: Run) -> None:
    style = re.search("<style>(.*?)</style>", (finished[1].report / "report.html").read_text(), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_every_link_inside_the_page_has_its_target(page: Page) -> None:
    targets = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")} <= targets


def test_every_picture_and_chart_can_be_read_aloud(page: Page) -> None:
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    heat = [attributes for attributes in pictures if "heat" in attributes.get("class", "")]
    assert pictures
    assert heat
    assert {attributes["alt"] for attributes in heat} == {""}  # it lies over a picture that is read
    assert all(attributes["alt"] for attributes in pictures if attributes not in heat)
    assert page.tags.count("svg") == 12
    assert page.tags.count("title") > page.tags.count("svg")


def test_hostile_class_names_stay_text(hostile: Files) -> None:
    page = Page(hostile.report / "report.html")
    assert page.tags.count("script") == 1
    assert page.script.strip() == (Path(report.__file__).parent / "page.js").read_text(encoding="utf-8").strip()
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    for label in HOSTILE:
        assert tame(label) in page.text
    assert "\u202e" not in page.text


def test_hostile_class_names_stay_text_in_the_model_card(hostile: Files) -> None:
    card = (hostile.report / "model_card.md").read_text(encoding="utf-8")
    assert "<" not in re.sub("```.*?```", "", card, flags=re.DOTALL)
    assert "[a](b)" not in card
    assert r"\| \*x\* \[a\](b)" in card


def test_wrong_labels_are_shown_with_what_they_look_like(page: Page) -> None:
    assert "labelled green" in page.text
    assert "looks like blue" in page.text
    assert "3 labels of 36 (8.3 %)" in page.text


def test_a_confident_mistake_on_a_doubtful_label_says_so_and_stays(finished: Run) -> None:
    facts = collect_facts(*finished)
    assert facts.scores.mistakes == facts.scores.mistakes_suspected == 3
    assert facts.failures is not None
    assert len(facts.failures.mistakes) == 3
    for failure in facts.failures.mistakes:
        assert failure.picture.lines[-1].startswith("the audit doubts the label: ")


def test_many_classes_give_the_most_confused_pairs_and_a_bounded_page(tmp_path: Path) -> None:
    params, files = write_report_run(tmp_path, [f"class {i:02}" for i in range(50)])
    path = write_report(params, files)
    page = Page(path)
    assert "With 50 classes, the pairs that are confused most" in page.text
    failures = (24 + 12 + 24) * (1 + 3) + 24 * 2 + 36  # each with three neighbours, and where the model looked
    assert page.tags.count("img") <= 24 + 8 + 12 + failures
    assert path.stat().st_size < 2e6


def test_two_classes_have_a_matrix_whose_rows_add_up_to_the_support(tmp_path: Path) -> None:
    params, files = write_report_run(tmp_path, ["functional", "defective"])
    scores = collect_facts(params, files).scores
    support = {line.label: line.support for line in scores.classes}
    sums = [sum(cell.images for cell in row) for row in scores.matrix]
    assert sums == [support[label] for label in scores.labels]
    assert sum(sums) == scores.test["n"]


def test_a_faultless_data_set_is_said_to_be_one(tmp_path: Path) -> None:
    params, files = write_report_run(tmp_path, ["red", "green", "blue"], faultless=True)
    page = Page(write_report(params, files))
    assert "Every file could be read, and none is blank, dark or blurred." in page.text
    assert "No image was found twice." in page.text
    assert "None of the 36 labels that were checked stands out." in page.text
    assert "No decisions of a reviewer yet." in page.text
    assert "The stages' times were not kept." in page.text


def test_a_model_without_mistakes_is_said_to_be_one(finished: Run, tmp_path: Path) -> None:
    params, files = finished
    shutil.copytree(files.root, tmp_path / "artifacts")
    copy = Files(tmp_path / "artifacts")
    path = copy.evaluation / "predictions.parquet"
    predictions = read_table(path, PREDICTIONS)
    write_table(path, predictions.assign(label=predictions["predicted"]), PREDICTIONS)
    path = copy.evaluation / "failures.parquet"
    failures = read_table(path, FAILURES)
    write_table(path, failures[failures["kind"] != "mistake"], FAILURES)
    page = Page(write_report(params, copy))
    assert "No test image was answered otherwise than it is labelled." in page.text
    assert "Most confident mistakes" not in page.text


def test_a_run_of_an_earlier_release_has_its_page_and_is_told_what_is_missing(finished: Run, tmp_path: Path) -> None:
    params, files = finished
    shutil.copytree(files.root, tmp_path / "artifacts")
    copy = Files(tmp_path / "artifacts")
    shutil.rmtree(copy.explanations)
    (copy.search / "frontier.csv").unlink()
    for name in ("coverage.json", "curves.parquet", "slices.json", "learning_curve.json", "failures.parquet"):
        (copy.evaluation / name).unlink()
    kept = ("rung", "path", "val_accuracy", "size_bytes", "latency_ms", "shipped", "reason", "error")
    ladder = read_json(copy.quantized / "ladder.json")
    write_json(copy.quantized / "ladder.json", [{k: rung[k] for k in kept if k in rung} for rung in ladder])
    text = Page(write_report(params, copy)).text
    for said in ("made this search", "set no thresholds", "compared no parts", "no learning curve", "list of failures"):
        assert said in text
    card = (copy.report / "model_card.md").read_text(encoding="utf-8")
    assert "## Evaluation" in card


def test_files_are_told_apart_by_what_the_search_maximized_with_accuracy_beside_it(finished: Run, page: Page) -> None:
    shipped = next(rung for rung in collect_facts(*finished).ladder if rung.shipped)
    assert (shipped.val_score, shipped.val_score_drop_ci95) == (0.94, (-0.02, 0.03))
    assert "chosen by macro F1" in page.text
    assert "macro F1lost, 95 % intervalaccuracysize" in page.text.replace("\n", "")


def test_a_leak_in_the_split_is_the_first_thing_the_page_says(finished: Run, tmp_path: Path) -> None:
    params, files = finished
    shutil.copytree(files.root, tmp_path / "artifacts")
    copy = Files(tmp_path / "artifacts")
    path = copy.split / "splits.parquet"
    splits = read_table(path, SPLITS)
    write_table(path, splits.assign(group="one"), SPLITS)
    facts = collect_facts(params, copy)
    assert facts.split.leaking_groups == 1
    assert facts.advice[0].tone == "stop"
    assert facts.advice[0].lead == "Scores are too good."


def test_the_path_of_the_data_stays_out_of_the_page(finished: Run) -> None:
    params, files = finished
    assert params.data.root not in (files.report / "report.html").read_text(encoding="utf-8")
    assert "tiles: image classifier" in Page(files.report / "report.html").text


def test_addresses_that_may_hold_a_password_stay_out_of_the_page_and_the_card(finished: Run) -> None:
    params, files = finished
    told = {
        "tracking": params.tracking.model_copy(
            update={"uri": "postgresql://ada:secret@db/mlflow", "registry_uri": "http://ada:secret@mlflow"}
        ),
        "search": params.search.model_copy(update={"weights_dir": "/home/ada/weights"}),
    }
    facts = collect_facts(params.model_copy(update=told), files)
    for text in (render_page(facts), write_card(facts)):
        assert "secret" not in text
        assert "/home/ada" not in text
    assert ("search.weights_dir", "weights") in facts.run.parameters


def test_the_same_run_gives_the_same_bytes(finished: Run) -> None:
    params, files = finished
    before = {path.name: path.read_bytes() for path in files.report.rglob("*.*") if path.is_file()}
    write_report(params, files)
    assert before == {path.name: path.read_bytes() for path in files.report.rglob("*.*") if path.is_file()}
    assert {"report.html", "model_card.md", "trials.svg", "calibration.svg", "loss.svg"} <= set(before)


def test_a_missing_artifact_is_named_and_the_old_report_stays(finished: Run, tmp_path: Path) -> None:
    params, files = finished
    shutil.copytree(files.root, tmp_path / "artifacts")
    copy = Files(tmp_path / "artifacts")
    (copy.search / "trials.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"trials\.parquet"):
        write_report(params, copy)
    assert (copy.report / "report.html").exists()


def test_it_says_how_many_labels_are_wrong_how_many_to_look_at_and_what_a_random_split_would_have_cost(
    page: Page,
) -> None:
    text = " ".join(page.text.split())
    assert "Estimated share of wrong labels: 8.3 % (2.1 to 20.0 %)" in text
    assert (
        "Worth a look: 5 images at the top of the ranking, of which 80 % should be wrong, 90 % of all that are." in text
    )
    assert "mistaken most for" in text
    assert "overstated accuracy by about 3.1 points" in text


def test_the_page_tells_how_much_it_may_answer_alone_as_it_was_measured(finished: Run, page: Page) -> None:
    levels = read_json(finished[1].evaluation / "coverage.json")
    assert [level["wanted"] for level in levels] == [0.9, 0.95, 0.99]
    for level in levels:
        assert f"{100 * level['coverage']:.1f} %" in page.text
    shown = [attributes.get("data-v") for tag, attributes in page.elements if tag == "td"]
    for level in levels:
        for line in level["classes"]:
            assert line["threshold"] is None or str(line["threshold"]) in shown


def test_float_against_file_is_told_as_a_paired_test(page: Page) -> None:
    assert "Float against file." in page.text
    assert "the float model" in page.text


def test_the_page_says_which_commit_data_and_versions_made_the_run_and_the_command_that_makes_it_again(
    page: Page, finished: Run
) -> None:
    facts = collect_facts(*finished)
    assert re.fullmatch("[0-9a-f]{32}", facts.run.data_digest)
    assert facts.run.data_digest in page.text
    assert "dvc repro" in page.text
    assert dict(facts.run.versions)["tensorflow"] in page.text


def test_another_label_gives_another_data_digest(finished: Run, tmp_path: Path) -> None:
    params, files = finished
    shutil.copytree(files.root, tmp_path / "artifacts")
    copy = Files(tmp_path / "artifacts")
    path = copy.split / "splits.parquet"
    splits = read_table(path, SPLITS)
    splits.loc[0, "label"] = next(label for label in splits["label"] if label != splits["label"][0])
    write_table(path, splits, SPLITS)
    assert read_run(params, copy).data_digest != read_run(params, files).data_digest
