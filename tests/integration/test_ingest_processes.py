"""Ingest with real processes: the same result with any number of them, and a clear end when one is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_cnn.artifacts import MANIFEST, Files, read_table
from automl_cnn.config import DataParams
from automl_cnn.data.ingest import ingest
from automl_cnn.data.samples import write_digits, write_elpv
from automl_cnn.errors import DataError

CLOTHING = Path(__file__).parents[3] / "shared" / "data" / "clothing"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """200 images of two classes, every tenth cut short."""
    noise = np.random.default_rng(1).integers(0, 256, (200, 40, 30, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        place = tmp_path / "photos" / "ab"[number % 2] / f"{number:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
        if number % 10 == 0:
            place.write_bytes(place.read_bytes()[:-900])
    return tmp_path / "photos"


def outputs(files: Files) -> list[bytes]:
    return [path.read_bytes() for path in sorted(files.root.rglob("*")) if path.is_file()]


def test_one_process_and_three_give_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    params = DataParams(root=str(photos), working_size_px=64)
    alone, together = Files(tmp_path / "alone"), Files(tmp_path / "together")
    ingest(params, alone, tmp_path / "c1", workers=1)
    summary = ingest(params, together, tmp_path / "c2", workers=3)
    assert summary.by_status == {"ok": 180, "truncated": 20}
    assert outputs(alone) == outputs(together)


def test_a_worker_that_the_system_kills_is_a_clear_error_and_nothing_is_half_written(
    photos: Path, tmp_path: Path
) -> None:
    files = Files(tmp_path / "artifacts")

    def kill_one(label: str, done: int, total: int, note: str = "") -> None:
        if done == 1:
            for worker in multiprocessing.active_children():
                os.kill(worker.pid or 0, signal.SIGKILL)

    with pytest.raises(DataError, match=r"worker processes .* one that the system ended, at '[ab]/\d+\.png'"):
        ingest(DataParams(root=str(photos)), files, tmp_path / "cache", kill_one, workers=2)
    assert not outputs(files)
    assert not multiprocessing.active_children()


def test_workers_end_when_their_parent_is_killed(photos: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(f"""
import multiprocessing, os, pathlib, signal
from automl_cnn.artifacts import Files
from automl_cnn.config import DataParams
from automl_cnn.data.ingest import ingest

def die(label, done, total, note=""):
    print(*[worker.pid for worker in multiprocessing.active_children()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    here = pathlib.Path({str(tmp_path)!r})
    ingest(DataParams(root={str(photos)!r}), Files(here / "artifacts"), here / "cache", die, workers=2)
""")
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)
    workers = [int(pid) for pid in ended.stdout.split()]
    assert ended.returncode == -signal.SIGKILL
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while (alive := [pid for pid in workers if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive


def is_running(pid: int) -> bool:
    """Whether the process still runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_digits_sample_is_ten_classes_of_readable_images(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    assert write_digits(folder) == 1797
    summary = ingest(
        DataParams(root=str(folder), working_size_px=64), Files(tmp_path / "artifacts"), tmp_path / "cache"
    )
    assert summary.by_status == {"ok": 1797}
    assert sorted(summary.by_class) == list("0123456789")


def test_the_elpv_sample_is_whole_states_its_licence_and_is_written_once(tmp_path: Path) -> None:
    pytest.importorskip("elpv_dataset")
    folder = tmp_path / "elpv"
    assert write_elpv(folder) == 2624
    assert {path.name: len(list(path.iterdir())) for path in folder.iterdir() if path.is_dir()} == {
        "functional": 1803, "defective": 821,
    }  # fmt: skip
    assert "CC BY-NC-SA 4.0" in (folder / "README.txt").read_text()
    lines = (folder / "metadata.csv").read_text().splitlines()
    assert lines[0] == "path,label,probability,cell_type"
    assert len(lines) == 2625
    before = (folder / "metadata.csv").stat().st_mtime_ns
    assert write_elpv(folder) == 2624
    assert (folder / "metadata.csv").stat().st_mtime_ns == before
    next((folder / "defective").iterdir()).unlink()
    with pytest.raises(DataError, match=r"2,623 of 2,624 images"):
        write_elpv(folder)


def test_a_sample_never_overwrites_a_folder_of_other_content(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="other content"):
        write_digits(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.real_data
@pytest.mark.skipif(not CLOTHING.is_dir(), reason="the clothing images are not here")
def test_real_photographs_are_read_with_their_senders_and_only_once(tmp_path: Path) -> None:
    labels = tmp_path / "every_tenth.csv"
    header, *lines = (CLOTHING / "metadata.csv").read_text().splitlines()
    labels.write_text("\n".join([header, *lines[::10]]))
    params = DataParams(root=str(CLOTHING / "images"), labels=str(labels), group_column="sender_id")
    files = Files(tmp_path / "artifacts")
    summary = ingest(params, files, tmp_path / "cache")
    assert summary.by_status == {"ok": 379}
    assert summary.notes == ("3,402 images under data.root are not listed in every_tenth.csv and are left out",)
    assert ingest(params, files, tmp_path / "cache").decoded == 0
    assert read_table(files.manifest, MANIFEST)["sender_id"].nunique() > 50
