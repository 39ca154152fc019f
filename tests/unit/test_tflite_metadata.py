"""Labels and preprocessing travel inside the file, and the network in it stays the same."""

from __future__ import annotations

import json

import numpy as np
from colour_model import LABELS, colour_model
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.litert import LiteModel
from automl_cnn.tflite_metadata import read_files, with_metadata

HOW = {"input_size_px": 16, "working_size_px": 32, "resize": "letterbox", "max_megapixels": 100}
LINES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=20)


@settings(max_examples=30, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=5, unique=True))
def test_labels_of_any_script_come_back_as_they_went_in(labels: list[str]) -> None:
    carried = read_files(with_metadata(colour_model(16), labels, HOW))
    assert carried["labels.txt"].split("\n")[:-1] == labels
    assert json.loads(carried["preprocessing.json"]) == HOW


def test_the_network_answers_as_before_and_weights_lie_where_a_runtime_can_read_them_in_place() -> None:
    content = colour_model(16)
    described = with_metadata(content, LABELS, HOW)
    image = np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
    np.testing.assert_array_equal(LiteModel(described).run(image), LiteModel(content).run(image))
    weights = (np.eye(3, dtype=np.float32) * 0.05).tobytes()
    assert described.index(weights) % 16 == 0


def test_input_and_output_can_be_asked_for_by_name() -> None:
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(model_content=with_metadata(colour_model(16), LABELS, HOW))
    assert model.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}}
    image = np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
    named = model.get_signature_runner("serving_default")(image=image)["probabilities"]
    np.testing.assert_array_equal(named, LiteModel(colour_model(16)).run(image))


def test_metadata_is_replaced_and_not_added_and_the_same_gives_the_same_bytes() -> None:
    once = with_metadata(colour_model(16), LABELS, HOW)
    assert with_metadata(once, LABELS, HOW) == once
    assert with_metadata(with_metadata(once, ["a", "b", "c"], HOW), LABELS, HOW) == once


def test_a_file_without_metadata_carries_nothing() -> None:
    assert read_files(colour_model(16)) == {}
