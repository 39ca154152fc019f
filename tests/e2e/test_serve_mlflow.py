"""The registered model: `mlflow models serve` and `automl-cnn serve` answer alike, and the log can be watched."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from colour_run import write_colour_run
from serving import COMMAND, running

from automl_cnn.artifacts import Files
from automl_cnn.config import load_params
from automl_cnn.evaluate.judge import judge_shipped, write_evaluation
from automl_cnn.tracking.record import record_run

START_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Files, str]:
    """A finished run's artifacts, and the URI of the model that was registered from them."""
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        files = Files(project / write_colour_run(project).root)
        params = load_params(project / "params.yaml")
        write_evaluation(files.evaluation, judge_shipped(files, params.evaluate))
        (project / "dvc.lock").write_text("stages: {}\n")
        return files, record_run(params, files).model_uri


@pytest.fixture(scope="module")
def mlflow_url(registered: tuple[Files, str]) -> Iterator[str]:
    files, uri = registered
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{files.root.parent / 'mlflow.db'}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", uri, "--env-manager", "local"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)], cwd=files.root.parent, start_new_session=True,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **store, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/ping", process)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_the_registered_model_is_served_alike_by_both_and_what_it_answered_can_be_watched(
    registered: tuple[Files, str], mlflow_url: str, tmp_path: Path
) -> None:
    project = registered[0].root.parent
    [model] = project.glob("mlartifacts/models/*/artifacts/**/model.tflite")  # from the record, not from the run
    images = [path.read_bytes() for path in sorted((project / "data").rglob("*.png"))[::4]] * 3
    with running(model, "--log", str(tmp_path)) as server, concurrent.futures.ThreadPoolExecutor(8) as clients:
        ours = list(clients.map(lambda image: server.post("/predict", image, "image/png").json, images))
        theirs = list(clients.map(lambda image: ask_mlflow(mlflow_url, image), images))
        assert server.stop() == 0
    for one, other in zip(ours, theirs, strict=True):
        assert other["label"] == one["label"]
        assert json.loads(other["probabilities"]) == pytest.approx(one["probabilities"], abs=1e-6)
        assert other["ood_score"] == pytest.approx(one["ood_score"], abs=1e-6)
        assert (other["abstain"], other["out_of_distribution"]) == (one["abstain"], one["out_of_distribution"])
    command = [*COMMAND, "monitor", str(tmp_path), "--model", str(model), "--json"]
    watched = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    assert watched["images"] == len(images)
    assert watched["model_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()


def ask_mlflow(url: str, image: bytes) -> dict[str, Any]:
    table = {"columns": ["image"], "data": [[base64.b64encode(image).decode()]]}
    body = json.dumps({"dataframe_split": table}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        [row] = json.load(answer)["predictions"]
    found: dict[str, Any] = row
    return found


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    pytest.fail("MLflow's server does not answer")
