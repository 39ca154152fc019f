"""MediaPipe Tasks, in an environment of its own, loads the file that ships and gives the right labels."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from colour_model import LABELS, colour_model
from conftest import REPOSITORY

from automl_cnn.artifacts import Files, write_json, write_lines
from automl_cnn.export.formats import chosen_formats
from automl_cnn.export.write import write_export
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.tflite_metadata import with_metadata

pytestmark = pytest.mark.slow
PYTHON = REPOSITORY / ".venv-mediapipe" / "bin" / "python"
SIZE_PX = 32


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a network that answers with the strongest colour."""
    if not PYTHON.exists():
        pytest.skip("MediaPipe is not installed: make .venv-mediapipe/stamp")
    folder = tmp_path_factory.mktemp("mediapipe")
    files, how = Files(folder / "artifacts"), {"input_size_px": SIZE_PX, "working_size_px": SIZE_PX}
    for place in (files.quantized, files.model):
        place.mkdir(parents=True)
        write_lines(place / "labels.txt", LABELS)
        write_json(place / "preprocessing.json", how)
    (files.quantized / "model.tflite").write_bytes(with_metadata(colour_model(SIZE_PX), LABELS, how))
    ClassifierSpec("smallnet", SIZE_PX, len(LABELS)).save(files.model / "spec.json")
    images = np.full((6, SIZE_PX, SIZE_PX, 3), 20, np.uint8)
    for row in range(6):
        images[row, ..., row % 3] = 150
    np.savez(files.model / "golden.npz", images=images, probabilities=np.zeros((6, 3), np.float32))
    write_export(files, chosen_formats("tflite"), folder / "export")
    return folder / "export"


def test_mediapipe_reads_labels_from_the_file_and_gives_the_probabilities_that_litert_gave(delivered: Path) -> None:
    done = subprocess.run(
        [str(PYTHON), "-c", "from automl_cnn.cli import main; main()", "verify", str(delivered)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "mediapipe" in line)
    assert "as expected, 6 of 6 images of the same class" in line
    assert "ai-edge-litert: not installed here" in done.stdout
