"""A killed run leaves DVC's lock behind; the next one goes on without being told to remove a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from automl_cnn.pipeline import drop_stale_locks


def lock_of(folder: Path, pid: int) -> Path:
    path = folder / "rwlock"
    path.write_text(json.dumps({"artifacts/images": {"write": {"pid": pid, "cmd": "dvc repro"}, "read": []}}))
    return path


def test_the_lock_of_a_killed_process_that_nobody_collected_is_dropped(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    path = lock_of(tmp_path, process.pid)
    drop_stale_locks(path)
    assert path.exists(), "a living process keeps its lock"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still a zombie
    drop_stale_locks(path)
    assert not path.exists()
    process.communicate()


def test_no_lock_is_no_trouble(tmp_path: Path) -> None:
    drop_stale_locks(tmp_path / "rwlock")
    assert not list(tmp_path.iterdir())
