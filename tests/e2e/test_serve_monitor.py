"""What a server answered is watched over, also when the server was killed in the middle of its work."""

from __future__ import annotations

import io
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
from colour_run import write_colour_run
from PIL import Image
from serving import COMMAND, running

from automl_cnn.monitor.read import read_log

SENT = 40


def _dark_picture(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 30, (40, 60, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_killed_server_loses_no_logged_row_and_monitor_sees_the_dark(tmp_path: Path) -> None:
    model = write_colour_run(tmp_path).quantized / "model.tflite"
    log = tmp_path / "log"
    with running(model, "--log", str(log)) as server:
        for number in range(SENT):
            reply = server.post("/predict", _dark_picture(number), "image/png", X_Request_ID=f"image-{number}")
            assert reply.status == 200
        deadline = time.monotonic() + 30  # rows are written beside the answers, not before them
        while read_log(log).num_rows < SENT and time.monotonic() < deadline:
            time.sleep(0.1)
        server.stop(signal.SIGKILL)
    rows = read_log(log)
    assert set(rows["id"].to_pylist()) == {f"image-{number}" for number in range(SENT)}
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"image-{number},red\n" for number in range(SENT)))
    done = subprocess.run(
        [*COMMAND, "monitor", str(log), "--model", str(model), "--labels", str(tmp_path / "labels.csv")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert any(line.startswith("!  brightness") for line in done.stdout.splitlines())
    assert f"{SENT} true labels" in done.stdout
