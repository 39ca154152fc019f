"""What a server hands to the prediction log is in it, and a log that fails costs records, never the server."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from automl_cnn.monitor.log import PredictionLog
from automl_cnn.monitor.read import read_log
from automl_cnn.reference.statistics import STATISTICS
from automl_cnn.serve import record
from automl_cnn.serve.record import Recorder


def answer(label: str = "cat") -> dict[str, Any]:
    prediction = {"path": "a.png", "label": label, "probability": 0.75, "probabilities": {"cat": 0.75, "dog": 0.25}}
    return {"prediction": prediction, "sketch": [], "statistics": [0.5] * len(STATISTICS)}


def test_every_answer_of_every_request_is_kept_but_errors(tmp_path: Path) -> None:
    recorder = Recorder(PredictionLog(tmp_path), "a" * 64)
    for number in range(1200):
        recorder.record(f"r{number}", [answer()])
    recorder.record("batch", [answer("dog"), {"error": {"reason": "truncated"}}, answer("cat")])
    recorder.close()
    rows = read_log(tmp_path).to_pandas().set_index("id")["label"]
    assert len(rows) == 1202
    assert (rows["batch/0"], rows["batch/2"]) == ("dog", "cat")
    assert recorder.dropped == 0


def test_what_a_failing_log_cannot_keep_is_counted_and_later_records_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    recorder = Recorder(log, "a" * 64)
    recorder.record("lost", [answer()])
    deadline = time.monotonic() + 10
    while recorder.dropped == 0 and time.monotonic() < deadline:
        time.sleep(0.001)
    folder.unlink()
    recorder.record("kept", [answer()])
    recorder.close()
    assert recorder.dropped == 1
    assert read_log(folder).column("id").to_pylist() == ["kept"]


def test_a_log_whose_disk_hangs_does_not_keep_the_server_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    log = PredictionLog(tmp_path)
    monkeypatch.setattr(log, "append", lambda records: hangs.wait())
    monkeypatch.setattr(record, "WAITING", 5)
    monkeypatch.setattr(record, "CLOSE_TIMEOUT_S", 0.1)
    recorder = Recorder(log, "a" * 64)
    for number in range(20):
        recorder.record(f"r{number}", [answer()])
        time.sleep(0.002)
    started = time.monotonic()
    recorder.close()
    assert time.monotonic() - started < 5
    assert recorder.dropped > 0
    hangs.set()
