"""A search on real pictures with a real network: trials, fine-tuning, results; run again, nothing is done twice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.datasets import load_digits

from automl_cnn.artifacts import MANIFEST, SPLITS, TRIALS, Files, read_json, read_table, write_table
from automl_cnn.config import Params, parse_params
from automl_cnn.data.store import StoreWriter
from automl_cnn.search.frontier import COLUMNS
from automl_cnn.search.results import Outcome, write_results
from automl_cnn.search.run import search
from automl_cnn.train.candidate import Candidate
from automl_cnn.train.winner import train_winner

IMAGES, SIZE_PX = 120, 64
SIDES = ["train", "train", "train", "validation", "test"]


def params(train_changes: dict[str, Any] | None = None, **changes: Any) -> Params:
    searched = {
        "budget_minutes": 60, "max_trials": 5, "max_fine_tunings": 1, "backbones": ["efficientnet-lite0"],
        "augmentations": ["none", "crop"], "views": 2, "objective": "accuracy",
    }  # fmt: skip
    train = {"epochs": 1, "unfreeze_from_block": 7} | (train_changes or {})
    data = {"root": "x", "working_size_px": SIZE_PX}
    return parse_params({"data": data, "search": searched | changes, "train": train, "quantize": {"steps": 3}})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Handwritten threes and eights as ingest and split would leave them."""
    found = Files(tmp_path_factory.mktemp("project") / "artifacts")
    digits = load_digits()
    chosen = [row for row, label in enumerate(digits.target) if label in (3, 8)][:IMAGES]
    found.images.mkdir(parents=True)
    manifest, splits = [], []
    with StoreWriter(found.images, SIZE_PX, "stretch") as store:
        for number, row in enumerate(chosen):
            grey = (digits.images[row] * 15.9).astype("uint8").repeat(8, 0).repeat(8, 1)
            name = f"image-{number:03}"
            known = {"image_id": name, "path": f"{name}.png", "label": str(digits.target[row])}
            manifest.append(
                {**dict.fromkeys(MANIFEST.columns), **known, "store_row": store.add(grey[..., None].repeat(3, 2))}
            )
            splits.append({**known, "group": name, "split": SIDES[number % len(SIDES)], "reason": ""})
    write_table(found.manifest, pd.DataFrame(manifest), MANIFEST)
    write_table(found.split / "splits.parquet", pd.DataFrame(splits), SPLITS)
    return found


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def outcome(files: Files, cache: Path) -> Outcome:
    """Of the first run."""
    return search(params(), files, cache, 5.0, time.perf_counter())


def test_a_search_climbs_from_cached_features_to_fine_tuning(outcome: Outcome) -> None:
    phases = [record.phase for record in outcome.records]
    assert phases[0] == "screening"
    assert phases.count("heads") == 4
    assert phases[-1] == "fine_tuning"
    assert {record.status for record in outcome.records} == {"completed"}
    assert outcome.best.score > 0.8


def test_its_files_hold_every_trial_the_frontier_and_the_promise(outcome: Outcome, tmp_path: Path) -> None:
    write_results(tmp_path / "search", outcome)
    assert Candidate.load(tmp_path / "search" / "best.yaml") == outcome.best
    trials = read_table(tmp_path / "search" / "trials.parquet", TRIALS)
    assert len(trials) == len(outcome.records)
    assert {"unfreeze_from_block", "learning_rate", "mixup", "heads"} <= set(trials.columns)
    rows = pd.read_csv(tmp_path / "search" / "frontier.csv")
    assert list(rows.columns) == list(COLUMNS)
    assert rows["on_frontier"].any()
    assert set(read_json(tmp_path / "search" / "budget.json")["promised"]) == {
        "search",
        "train",
        "quantize",
        "evaluate",
    }


def test_run_again_it_repeats_no_trial_and_says_the_same(outcome: Outcome, files: Files, cache: Path) -> None:
    again = search(params(), files, cache, 5.0, time.perf_counter())
    assert again.records == outcome.records
    assert again.best == outcome.best


def test_the_train_stage_takes_the_fine_tuned_network_from_the_search(
    outcome: Outcome, files: Files, cache: Path
) -> None:
    tuned = next(record for record in outcome.records if record.phase == "fine_tuning")
    candidate = Candidate(tuned.trial_id, "accuracy", tuned.score or 0.0, tuned.values, tuned.images, tuned.views, 0)
    kept = {path: path.stat().st_mtime_ns for path in (cache / "train").rglob("*.npz")}
    result = train_winner(params(), files, candidate, cache)
    assert result["validation_score"] == tuned.score
    assert {path: path.stat().st_mtime_ns for path in (cache / "train").rglob("*.npz")} == kept


def test_a_changed_space_is_a_new_study_and_says_so(outcome: Outcome, files: Files, cache: Path) -> None:
    changed = search(
        params(max_trials=1, max_fine_tunings=0, augmentations=["none"]), files, cache, 5.0, time.perf_counter()
    )
    assert any("another study" in line and "the space" in line for line in changed.lines)


@pytest.mark.exhaustive  # what is taught when is a unit test, how is one of fine-tuning
def test_the_best_network_teaches_another_and_the_table_names_it(files: Files, cache: Path, tmp_path: Path) -> None:
    taught = params({"unfreeze_from_block": [7, 8], "distillation": 0.5}, max_trials=2, max_fine_tunings=3)
    found = search(taught, files, cache, 5.0, time.perf_counter())
    last = found.records[-1]
    assert (last.phase, last.status) == ("fine_tuning", "completed")
    assert last.values["teacher"]["backbone"] == "efficientnet-lite0"
    write_results(tmp_path / "search", found)
    table = read_table(tmp_path / "search" / "trials.parquet", TRIALS)
    assert table["teacher"].dropna().tolist() == ["efficientnet-lite0 64 px"]


def test_a_budget_too_short_for_anything_still_gives_a_model(outcome: Outcome, files: Files, cache: Path) -> None:
    short = search(params(budget_minutes=0.01, seed=2), files, cache, 5.0, time.perf_counter())
    assert len(short.records) == 1
    assert short.best.values["hidden_units"] == 0
    assert any("too short" in line for line in short.lines)
    assert "validation_score" in train_winner(params(), files, short.best, cache)
