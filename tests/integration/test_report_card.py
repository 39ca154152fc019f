"""model_card.md is read by the Hugging Face hub's own reader, whatever the data set and its classes are called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from report_run import write_report_run

from automl_cnn.artifacts import Files, read_json
from automl_cnn.config import Params
from automl_cnn.report.card import write_card
from automl_cnn.report.facts import collect_facts

SECTIONS = [
    "Model Details", "Uses", "Bias, Risks, and Limitations", "How to Get Started with the Model", "Training Details",
    "Evaluation", "Environmental Impact", "Technical Specifications",
]  # fmt: skip
HOSTILE = ["---\nlicense: mit", "a: [b", "| *x* <img src=x>"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Files]:
    return write_report_run(tmp_path_factory.mktemp("project"), ["red", "green", "blue"])


def test_the_hub_reads_the_measured_results(finished: tuple[Params, Files]) -> None:
    params, files = finished
    card = ModelCard(write_card(collect_facts(params, files)))
    test = read_json(files.evaluation / "metrics.json")["test"]
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found["accuracy"] == pytest.approx(test["accuracy"], abs=1e-6)
    assert found["f1"] == pytest.approx(test["macro_f1"], abs=1e-6)
    assert {result.dataset_split for result in card.data.eval_results} == {"test"}
    assert (card.data.pipeline_tag, card.data.library_name) == ("image-classification", "tflite")
    assert card.data.license == "other"


def test_it_has_the_sections_of_the_hubs_template(finished: tuple[Params, Files]) -> None:
    text = ModelCard(write_card(collect_facts(*finished))).text
    assert re.findall("^## (.*)$", text, flags=re.MULTILINE) == SECTIONS


def test_the_license_of_params_yaml_is_the_cards(finished: tuple[Params, Files]) -> None:
    card = ModelCard(write_card(collect_facts(*finished), "cc-by-4.0"))
    assert card.data.license == "cc-by-4.0"
    assert "**License:** cc-by-4.0." in card.text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_of_the_data_stays_a_name(finished: tuple[Params, Files], name: str) -> None:
    params, files = finished
    there = params.model_copy(update={"data": params.data.model_copy(update={"root": f"photos/{name}"})})
    card = ModelCard(write_card(collect_facts(there, files)))
    assert card.data.license == "other"
    assert {result.dataset_name for result in card.data.eval_results} == {" ".join(name.split())}
    assert card.text.lstrip().splitlines()[0].startswith("# Model Card for ")
    assert "<img" not in card.text


def test_a_name_of_the_data_keeps_its_letters(finished: tuple[Params, Files]) -> None:
    params, files = finished
    there = params.model_copy(update={"data": params.data.model_copy(update={"root": "photos/猫 und Hühner"})})
    card = ModelCard(write_card(collect_facts(there, files)))
    assert "# Model Card for 猫 und Hühner" in card.text
    assert card.data.eval_results[0].dataset_name == "猫 und Hühner"
    assert Path(there.data.root).name in str(card)
