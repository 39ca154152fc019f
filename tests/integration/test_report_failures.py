"""Failures are shown with where the model looked, inside the picture, and with the training images most like them."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from report_run import HEIGHT, WIDTH, write_report_run

from automl_cnn.artifacts import SPLITS, Files, read_table
from automl_cnn.config import Params
from automl_cnn.evaluate.failures import FAILURES
from automl_cnn.report.failure_facts import FailureFacts, read_failures
from automl_cnn.report.thumbnails import Thumbnails


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Files]:
    return write_report_run(tmp_path_factory.mktemp("project"), ["red", "green", "blue"])


@pytest.fixture(scope="module")
def shown(finished: tuple[Params, Files]) -> FailureFacts:
    params, files = finished
    found = read_failures(files, Thumbnails(files, params.data.resize))
    assert found is not None
    return found


def opacity(uri: str) -> NDArray[np.uint8]:
    """How opaque an overlay is: uint8 [h, w]."""
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(picture.convert("RGBA"))[..., 3]


def test_the_overlay_lies_where_the_network_looked_and_leaves_the_letterbox_out(shown: FailureFacts) -> None:
    assert shown.mistakes
    for failure in shown.mistakes:
        heat = opacity(failure.answer_heat)
        assert heat.shape[1] / heat.shape[0] == pytest.approx(WIDTH / HEIGHT, rel=0.1)
        assert heat[0, 0] > 150
        assert heat[-1].max() == 0
        assert heat[:, -1].max() == 0


def test_where_nothing_spoke_for_the_label_nothing_is_drawn(shown: FailureFacts) -> None:
    assert {opacity(failure.label_heat).max() for failure in shown.mistakes} == {0}


def test_neighbours_are_training_images_in_the_order_of_their_likeness(
    finished: tuple[Params, Files], shown: FailureFacts
) -> None:
    files = finished[1]
    sides = read_table(files.split / "splits.parquet", SPLITS).set_index("path")["split"]
    table = read_table(files.evaluation / "failures.parquet", FAILURES)
    paths = read_table(files.split / "splits.parquet", SPLITS).set_index("image_id")["path"]
    rows = table[table["kind"] == "mistake"].sort_values("rank")
    for failure, row in zip(shown.mistakes, rows.to_dict("records"), strict=True):
        assert [sides[picture.path] for picture in failure.neighbours] == ["train"] * 3
        assert [picture.path for picture in failure.neighbours] == [paths[i] for i in row["neighbours"][:3]]
        assert all(picture.uri for picture in failure.neighbours)


def test_without_explanations_the_failures_are_still_there(finished: tuple[Params, Files]) -> None:
    params, files = finished
    moved = files.explanations.rename(files.root / "elsewhere")
    try:
        found = read_failures(files, Thumbnails(files, params.data.resize))
    finally:
        moved.rename(files.explanations)
    assert found is not None
    assert not found.explained
    assert {failure.answer_heat for failure in found.mistakes} == {""}
