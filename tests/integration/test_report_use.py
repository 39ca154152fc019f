"""What the report tells people to run does run, and gives what the pipeline gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_run import INPUT_PX, WORKING_PX, write_report_run

from automl_cnn.artifacts import read_json, write_json
from automl_cnn.report.facts import collect_facts
from automl_cnn.report.snippet import python_snippet
from automl_cnn.serve.predict import Predictor


@pytest.mark.parametrize("resize", ["letterbox", "crop", "stretch"])
def test_the_python_snippet_agrees_with_predict(tmp_path: Path, resize: str) -> None:
    params, files = write_report_run(tmp_path, ["red", "green", "blue"])
    how: dict[str, Any] = read_json(files.quantized / "preprocessing.json")
    write_json(files.quantized / "preprocessing.json", {**how, "resize": resize})
    pixels = np.random.default_rng(3).integers(0, 90, (90, 140, 3), dtype=np.uint8)
    pixels[..., 1] += 40
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=95)
    snippet = python_snippet(collect_facts(params, files).use)
    assert f"({WORKING_PX}, {WORKING_PX})" in snippet
    assert f"({INPUT_PX}, {INPUT_PX})" in snippet
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=True)
    label, probability = done.stdout.split()
    expected = Predictor(files.quantized / "model.tflite").predict([tmp_path / "photo.jpg"])[0]
    assert label == expected.label
    assert float(probability) == pytest.approx(expected.probability, abs=2 / 256)
