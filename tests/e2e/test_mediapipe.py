"""MediaPipe Tasks, on a path of its own, loads the file that ships and gives the right labels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from colour_export import export_of_colours
from conftest import REPOSITORY

pytestmark = pytest.mark.slow
MEDIAPIPE = REPOSITORY / ".venv" / "mediapipe"


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not MEDIAPIPE.exists():
        pytest.skip("MediaPipe is not installed: make .venv/mediapipe.stamp")
    return export_of_colours(tmp_path_factory.mktemp("mediapipe"))


def test_mediapipe_reads_labels_from_the_file_and_gives_the_probabilities_that_litert_gave(delivered: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from automl_cnn.cli import main; main()", "verify", str(delivered)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{MEDIAPIPE}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "mediapipe" in line)
    assert "as expected, 6 of 6 images of the same class" in line
