"""`automl-cnn cache`: what lies there is shown, and pruning removes no more than it says."""

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from automl_cnn.cli import main
from automl_cnn.features.frozen import ENGINE_VERSION
from automl_cnn.features.inventory import DAY_SECONDS, inventory, prune

KEY = f"efficientnet-lite0-160-average-0123456789abcdef-v{ENGINE_VERSION}"
OLD = 10


def put(path: Path, size: int = 1000, days: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    for each in (path, path.parent):
        os.utime(each, (time.time() - days * DAY_SECONDS,) * 2)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".automl-cnn"
    put(folder / "features" / KEY / "image" / "a.npz")
    put(folder / "features" / KEY / "crop-0-v2" / "b.npz", days=OLD)
    put(folder / "engines" / f"{KEY}.tflite", 5000)
    put(folder / "features" / "070f4498525c0d1adc59674f.npy", 300)
    put(folder / "features" / KEY / "image" / "c.damaged", 40)
    put(folder / "features" / KEY / "image" / ".d.npz.17.tmp", 50, days=1)
    put(folder / "engines" / "efficientnet-lite0-160-0123-v1.tflite", 60)
    put(folder / "search" / "study.jsonl", 20)
    put(folder / "train" / "checkpoint.npz", 30)
    put(folder / "features" / KEY / "image" / "a.npz")
    return folder


def test_the_cache_shows_networks_views_logs_and_checkpoints(cache: Path) -> None:
    shown = CliRunner().invoke(main, ["cache"]).output
    for words in (
        f"{KEY} image",
        f"{KEY} crop-0-v2",
        "engine",
        "search",
        "training",
        "left over",
        "features of 1 network",
    ):
        assert words in shown


def test_pruning_without_options_removes_only_what_nobody_will_use(cache: Path) -> None:
    removed = prune(cache)
    assert {entry.path.suffix for entry in removed} == {".npy", ".damaged", ".tmp", ".tflite"}
    assert sum(entry.bytes for entry in removed) == 450
    assert sorted(entry.kind for entry in inventory(cache)) == ["engine", "features", "features", "search", "training"]


def test_pruning_keeps_what_was_used_lately(cache: Path) -> None:
    result = CliRunner().invoke(main, ["cache", "prune", "--keep-days", "5"])
    assert f"{KEY} crop-0-v2" in result.output
    assert not (cache / "features" / KEY / "crop-0-v2").exists()
    assert (cache / "features" / KEY / "image" / "a.npz").exists()
    assert (cache / "engines" / f"{KEY}.tflite").exists()


def test_pruning_all_leaves_an_empty_cache(cache: Path) -> None:
    assert "freed" in CliRunner().invoke(main, ["cache", "prune", "--all"]).output
    assert inventory(cache) == []
    assert CliRunner().invoke(main, ["cache"]).output == "The cache is empty.\n"


def test_a_file_that_is_being_written_is_left_alone(cache: Path) -> None:
    fresh = put(cache / "features" / KEY / "image" / ".e.npz.18.tmp")
    prune(cache)
    assert fresh.exists()
