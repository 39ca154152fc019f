"""`automl-cnn predict`: right answers from a file and its two companions, and a clear word when they do not fit."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from colour_model import LABELS, colour_model
from PIL import Image

from automl_cnn.errors import DataError, ModelFileError
from automl_cnn.serve.predict import Predictor

PREPROCESSING = {"working_size_px": 48, "input_size_px": 32, "resize": "letterbox", "max_megapixels": 1.0}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "quantized"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(colour_model(32, quantized=True))
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    (folder / "preprocessing.json").write_text(json.dumps(PREPROCESSING))
    return folder / "model.tflite"


def _picture(path: Path, colour: str, size: tuple[int, int] = (60, 40)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def test_images_are_labelled_in_the_order_given(model: Path, tmp_path: Path) -> None:
    paths = [_picture(tmp_path / f"{i}.png", colour) for i, colour in enumerate(["blue", "red", "green", "red"])]
    found = Predictor(model).predict(paths)
    assert [one.label for one in found] == ["blue", "red", "green", "red"]
    assert [one.path for one in found] == [str(path) for path in paths]


def test_the_probability_is_that_of_the_label_in_the_order_of_labels_txt(model: Path, tmp_path: Path) -> None:
    [one] = Predictor(model).predict([_picture(tmp_path / "a.png", "#102030")])
    assert list(one.probabilities) == LABELS
    assert one.probability == one.probabilities[one.label] == max(one.probabilities.values())
    assert sum(one.probabilities.values()) == pytest.approx(1, abs=3 / 256)


def test_bytes_and_file_of_the_same_image_give_the_same_probabilities(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "noise.jpg"
    Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(path)
    predictor = Predictor(model)
    assert predictor.predict_bytes(path.read_bytes()).probabilities == predictor.predict([path])[0].probabilities


def test_a_file_that_is_no_image_is_named(model: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.jpg"
    page.write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"page\.jpg: expected .*; received .*"):
        Predictor(model).predict([page])
    with pytest.raises(DataError, match=r"upload: expected .*; received not_an_image"):
        Predictor(model).predict_bytes(page.read_bytes(), name="upload")
    with pytest.raises(DataError, match=r"missing\.png"):
        Predictor(model).predict([tmp_path / "missing.png"])


@pytest.mark.parametrize("companion", ["labels.txt", "preprocessing.json"])
def test_a_missing_companion_is_asked_for_by_name(model: Path, companion: str) -> None:
    model.with_name(companion).unlink()
    with pytest.raises(ModelFileError, match=rf"{companion}: expected .*; received none there\. Copy"):
        Predictor(model)


def test_labels_of_another_model_are_refused(model: Path) -> None:
    model.with_name("labels.txt").write_text("cat\ndog\n")
    with pytest.raises(ModelFileError, match=r"labels\.txt: expected 3 lines.*; received 2"):
        Predictor(model)


def test_preprocessing_of_another_model_is_refused(model: Path) -> None:
    model.with_name("preprocessing.json").write_text(json.dumps({**PREPROCESSING, "input_size_px": 64}))
    with pytest.raises(ModelFileError, match=r"model\.tflite: expected .*\(1, 64, 64, 3\).*received uint8 \(1, 32"):
        Predictor(model)


@pytest.mark.parametrize("text", ["{", "[]", '{"working_size_px": 48}', '{"working_size_px": "wide"}', "7"])
def test_damaged_preprocessing_is_no_traceback(model: Path, text: str) -> None:
    model.with_name("preprocessing.json").write_text(text)
    with pytest.raises(ModelFileError, match=r"preprocessing\.json: expected working_size_px"):
        Predictor(model)


@pytest.mark.parametrize("kept", [0, 6, 40, 500, 1000])
def test_a_truncated_model_is_no_crash(model: Path, kept: int) -> None:
    model.write_bytes(model.read_bytes()[:kept])
    with pytest.raises(ModelFileError, match=r"model\.tflite: expected"):
        Predictor(model)


def test_prediction_imports_nothing_heavy(model: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from automl_cnn.serve.predict import Predictor; "
        "Predictor(Path(sys.argv[1])); print([m for m in sys.argv[2:] if m in sys.modules])"
    )
    heavy = ["tensorflow", "keras", "pandas", "sklearn", "scipy", "mlflow", "pydantic", "pyarrow", "matplotlib"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(model), *heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_rotated_photo_is_seen_upright(model: Path) -> None:
    picture = Image.new("RGB", (48, 48), "black")
    picture.paste("red", (0, 0, 48, 24))
    exif = Image.Exif()
    exif[0x0112] = 6
    plain, turned = io.BytesIO(), io.BytesIO()
    picture.save(plain, "PNG")
    picture.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    predictor = Predictor(model)
    assert (
        predictor.predict_bytes(plain.getvalue()).probabilities
        == predictor.predict_bytes(turned.getvalue()).probabilities
    )
