"""What a stage takes of the machine is written whatever becomes of the stage, and stays small."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest

from automl_cnn import system_load
from automl_cnn.system_load import COLUMNS, sampled_load


def test_even_a_stage_of_no_time_leaves_a_sample(tmp_path: Path) -> None:
    with sampled_load(tmp_path / "split.system.csv"):
        pass
    load = pd.read_csv(tmp_path / "split.system.csv")
    assert tuple(load.columns) == COLUMNS
    assert len(load) == 1
    assert abs(load["time_ms"][0] - 1000 * time.time()) < 60_000
    assert 0 <= load["cpu_percent"][0] <= 100
    assert 1 < load["stage_memory_mb"][0] < load["machine_memory_mb"][0] * 10
    assert load["stage_processes"][0] >= 1


def test_a_stage_that_fails_leaves_its_samples_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), sampled_load(tmp_path / "train.system.csv"):
        raise ZeroDivisionError
    assert len(pd.read_csv(tmp_path / "train.system.csv")) == 1


def test_a_long_stage_keeps_no_more_samples_than_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_load, "MOST", 8)
    with sampled_load(tmp_path / "search.system.csv", every_s=0.002):
        time.sleep(0.3)
    load = pd.read_csv(tmp_path / "search.system.csv")
    assert 3 <= len(load) <= 8
    assert load["time_ms"].is_monotonic_increasing
