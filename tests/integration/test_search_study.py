"""A search keeps its budget, survives failures and kills, and never repeats a finished trial."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from automl_cnn.errors import BudgetError
from automl_cnn.search.results import trials_table, write_results
from automl_cnn.search.space import head_space
from automl_cnn.search.study import StudyPlan, best_of, read_log, run_study, study_path
from automl_cnn.search.trial import TrialResult
from automl_cnn.train.candidate import Candidate

SPACE = head_space(["efficientnet-lite0", "efficientnet-lite1"], ["none", "flip"])
PLAN = StudyPlan("bayesian", budget_s=120, max_trials=14, seed=3)


def score(values: Mapping[str, Any]) -> TrialResult:
    """A smooth landscape that is best with a wide hidden layer and a rate of 4e-3."""
    value = 0.5 + values["hidden_units"] / 1024 - abs(values["learning_rate"] - 4e-3) * 5
    return TrialResult(value, value, 3, 0.01)


def test_the_first_trial_is_the_sound_default(tmp_path: Path) -> None:
    records = run_study(SPACE, score, StudyPlan("bayesian", 60, 1, 1), tmp_path / "log.jsonl")
    assert records[0].values == SPACE.defaults()


def test_a_killed_search_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    class Killed(BaseException):
        """As sudden as kill -9: nothing in the study may catch it."""

    log, calls = tmp_path / "log.jsonl", []

    def dies_at_the_sixth(values: Mapping[str, Any]) -> TrialResult:
        calls.append(dict(values))
        if len(calls) == 6:
            raise Killed
        return score(values)

    with pytest.raises(Killed):
        run_study(SPACE, dies_at_the_sixth, PLAN, log)
    with log.open("a") as file:
        file.write('{"trial_id": 5, "status": "comp')  # the kill came in mid-write
    finished = read_log(log)
    assert len(finished) == 5
    records = run_study(SPACE, dies_at_the_sixth, PLAN, log)
    assert records[:5] == finished
    assert len(records) == PLAN.max_trials
    assert len(calls) == PLAN.max_trials + 1  # only the interrupted one ran twice
    assert len({str(sorted(record.values.items())) for record in records}) == PLAN.max_trials


def test_the_same_seed_gives_the_same_trials(tmp_path: Path) -> None:
    first = run_study(SPACE, score, PLAN, tmp_path / "a.jsonl")
    second = run_study(SPACE, score, PLAN, tmp_path / "b.jsonl")
    assert [record.values for record in first] == [record.values for record in second]


def test_the_budget_is_kept_but_one_trial_always_runs(tmp_path: Path) -> None:
    def slow(values: Mapping[str, Any]) -> TrialResult:
        time.sleep(0.2)
        return TrialResult(0.5, 0.5, 1, 0.2)

    assert len(run_study(SPACE, slow, StudyPlan("random", 0.01, 50, 1), tmp_path / "short.jsonl")) == 1
    started = time.perf_counter()
    records = run_study(SPACE, slow, StudyPlan("random", 1.5, 50, 1), tmp_path / "longer.jsonl")
    assert time.perf_counter() - started < 3
    assert 1 < len(records) < 10


def test_a_failed_or_diverged_trial_does_not_end_the_search(tmp_path: Path) -> None:
    def sometimes(values: Mapping[str, Any]) -> TrialResult:
        if values["class_weight"] == "balanced":
            raise MemoryError("out of memory")
        if values["dropout"] == 0.4:
            return TrialResult(float("nan"), 0.0, 1, 0.01)
        return score(values)

    records = run_study(SPACE, sometimes, StudyPlan("random", 60, 12, 2), tmp_path / "log.jsonl")
    failed = [record for record in records if record.status == "failed"]
    assert failed
    assert best_of(records).status == "completed"
    assert {record.message.split(":")[0] for record in failed} <= {"MemoryError", "the loss diverged"}


def test_a_search_without_one_success_says_why(tmp_path: Path) -> None:
    def always(values: Mapping[str, Any]) -> TrialResult:
        raise MemoryError("out of memory")

    with pytest.raises(BudgetError, match="out of memory"):
        run_study(SPACE, always, StudyPlan("random", 60, 3, 1), tmp_path / "log.jsonl")


@pytest.mark.parametrize("change", ["space", "data", "seed", "objective"])
def test_another_space_data_seed_or_objective_is_another_study(tmp_path: Path, change: str) -> None:
    base = study_path(tmp_path, SPACE, "d1", PLAN, "accuracy")
    other = study_path(
        tmp_path,
        head_space(["efficientnet-lite0"], ["none"]) if change == "space" else SPACE,
        "d2" if change == "data" else "d1",
        StudyPlan("bayesian", 120, 14, 4) if change == "seed" else PLAN,
        "macro_f1" if change == "objective" else "accuracy",
    )
    assert other != base


def test_a_longer_budget_continues_the_same_study(tmp_path: Path) -> None:
    longer = StudyPlan(PLAN.kind, 10 * PLAN.budget_s, 99, PLAN.seed)
    assert study_path(tmp_path, SPACE, "d", PLAN, "accuracy") == study_path(tmp_path, SPACE, "d", longer, "accuracy")


def test_results_hold_every_trial_and_the_best_values(tmp_path: Path) -> None:
    records = run_study(SPACE, score, StudyPlan("random", 60, 5, 1), tmp_path / "log.jsonl")
    best = write_results(tmp_path / "search", records, 160, "macro_f1")
    assert Candidate.load(tmp_path / "search" / "best.yaml") == best
    assert len(trials_table(records)) == 5
    assert {"hidden_units", "learning_rate"} <= set(trials_table(records).columns)
