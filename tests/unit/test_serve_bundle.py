"""The code that goes with a registered model is complete and keeps out of the installed package's way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from automl_cnn.serve.bundle import bundle_serving_code


def test_the_bundled_code_runs_where_the_package_is_not_installed(tmp_path: Path) -> None:
    bundle_serving_code(tmp_path)
    script = (
        "import sys; sys.modules['automl_cnn'] = None; sys.path.insert(0, sys.argv[1]); "
        "import automl_cnn_serving.serve.predict as p; print(p.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip().startswith(str(tmp_path))


def test_only_what_prediction_needs_is_bundled(tmp_path: Path) -> None:
    names = {path.stem for path in bundle_serving_code(tmp_path).rglob("*.py")}
    assert {"predict", "decode", "litert", "errors"} <= names
    assert not names & {"config", "tracking", "twin", "judge", "console"}
