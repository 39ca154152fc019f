"""report/ is one safe, self-contained page, whatever the classes are called and however many they are."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_run import write_report_run

from automl_cnn.artifacts import PREDICTIONS, SPLITS, Files, read_json, read_table, write_table
from automl_cnn.config import Params
from automl_cnn.errors import ArtifactError
from automl_cnn.report.facts import collect_facts
from automl_cnn.report.page import write_report

HOSTILE = [
    "<script>alert(1)</script>",
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
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
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
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "action", "data", "poster"):
            assert value.startswith(("data:image/jpeg;base64,", "#")), (tag, name, value[:60])
    assert any(value.startswith("default-src 'none'") for _, name, value in page.attributes if name == "content")


def test_the_style_sheet_loads_nothing_either(finished: Run) -> None:
    style = re.search("<style>(.*?)</style>", (finished[1].report / "report.html").read_text(), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_every_link_inside_the_page_has_its_target(page: Page) -> None:
    targets = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")} <= targets


def test_every_picture_and_chart_can_be_read_aloud(page: Page) -> None:
    pictures = page.tags.count("img")
    assert pictures
    assert pictures == len([1 for tag, name, value in page.attributes if (tag, name) == ("img", "alt") and value])
    assert page.tags.count("svg") == 5
    assert page.tags.count("title") > page.tags.count("svg")


def test_hostile_class_names_stay_text(hostile: Files) -> None:
    page = Page(hostile.report / "report.html")
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    for label in HOSTILE:
        assert label in page.text


def test_hostile_class_names_stay_text_in_the_model_card(hostile: Files) -> None:
    card = (hostile.report / "model_card.md").read_text(encoding="utf-8")
    assert "<" not in card
    assert "[a](b)" not in card
    assert r"\| \*x\* \[a\](b)" in card


def test_wrong_labels_are_shown_with_what_they_look_like(page: Page) -> None:
    assert "labelled green" in page.text
    assert "looks like blue" in page.text
    assert "3 labels of 36 (8.3 %)" in page.text


def test_a_confident_mistake_on_a_doubtful_label_says_so(finished: Run) -> None:
    facts = collect_facts(*finished)
    assert facts.scores.mistakes == facts.scores.mistakes_suspected == 3
    assert all(picture.lines[-1] == "the audit doubts the label" for picture in facts.scores.mistake_pictures)


def test_many_classes_give_the_most_confused_pairs_and_a_bounded_page(tmp_path: Path) -> None:
    params, files = write_report_run(tmp_path, [f"class {i:02}" for i in range(50)])
    path = write_report(params, files)
    page = Page(path)
    assert "With 50 classes, the pairs that are confused most" in page.text
    assert page.tags.count("img") <= 24 + 8 + 12 + 24
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
    assert "None: every test image was answered as it is labelled." in Page(write_report(params, copy)).text


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
