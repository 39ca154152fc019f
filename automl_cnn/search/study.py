"""A search inside a time budget that can be killed at any moment and goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl_cnn.errors import BudgetError
from automl_cnn.progress import Progress, silent
from automl_cnn.search.space import Space
from automl_cnn.search.trial import TrialResult

SAFETY = 1.2  # a trial may take this much longer than the slowest of the last five


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial, as one line of the study's log.

    Attributes:
        trial_id: number of the trial, from 0.
        status: completed or failed.
        values: hyperparameters.
        score: the objective on validation; None when failed.
        accuracy: on validation; None when failed.
        epochs: passes that were made.
        seconds: wall-clock time of the trial.
        message: why it failed, else empty.
    """

    trial_id: int
    status: str
    values: dict[str, Any]
    score: float | None
    accuracy: float | None
    epochs: int
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class StudyPlan:
    """What a study is allowed to spend.

    Attributes:
        kind: bayesian or random.
        budget_s: wall-clock seconds, those of a killed run counted in.
        max_trials: most trials.
        seed: 1 or more.
    """

    kind: str
    budget_s: float
    max_trials: int
    seed: int


def study_path(folder: Path, space: Space, data_digest: str, plan: StudyPlan, objective: str) -> Path:
    """Where the log of a study lies: another space, data, objective or seed is another study, never a resumed one."""
    described = json.dumps([space.describe(), data_digest, plan.kind, plan.seed, objective], sort_keys=True)
    return folder / f"{hashlib.sha256(described.encode()).hexdigest()[:16]}.jsonl"


def run_study(
    space: Space,
    evaluate: Callable[[Mapping[str, Any]], TrialResult],
    plan: StudyPlan,
    log: Path,
    progress: Progress = silent,
) -> list[TrialRecord]:
    """Try values until the budget, the number of trials or the space is used up.

    Args:
        space: what can be chosen.
        evaluate: runs one trial.
        plan: what may be spent.
        log: file of finished trials, one JSON object a line; an existing one is continued.
        progress: told of every finished trial.
    Returns:
        All finished trials, those of earlier runs first.
    Raises:
        BudgetError: not one trial succeeded.
    """
    from automl_cnn.search.tuner import Tuner

    records = read_log(log)
    tuner = Tuner(space, plan.kind, plan.max_trials, plan.seed)
    for record in records:
        tuner.replay(record.values, record.score)
    spent = sum(record.seconds for record in records)
    if records:
        progress(f"continuing after {len(records)} finished trials", 1, 1)
    started = time.perf_counter() - spent
    while len(records) < plan.max_trials and _time_for_another(records, time.perf_counter() - started, plan.budget_s):
        asked = tuner.ask()
        if asked is None:
            break
        trial_id, values = asked
        record = _run_trial(len(records), values, evaluate)
        records.append(record)
        _append(log, record)
        tuner.tell(trial_id, record.score)
        elapsed = time.perf_counter() - started
        progress("trials", len(records), plan.max_trials, _note(records, plan.budget_s - elapsed))
    progress("trials", len(records), len(records), _note(records, 0.0))
    if all(record.status == "failed" for record in records):
        raise BudgetError(
            "search", expected="at least one trial that succeeds", received=records[-1].message if records else "none",
            action="Raise search.budget_minutes, or mend what the message says.",
        )  # fmt: skip
    return records


def best_of(records: list[TrialRecord]) -> TrialRecord:
    """The trial with the highest score; of equals the one found first."""
    completed = [record for record in records if record.score is not None]
    return max(completed, key=lambda record: (record.score or 0.0, -record.trial_id))


def read_log(log: Path) -> list[TrialRecord]:
    """Finished trials of a log; a last line cut off by a kill is dropped."""
    records = []
    if log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                records.append(TrialRecord(**json.loads(line)))
            except (json.JSONDecodeError, TypeError):
                break
        # what was cut off must not stand before the next line
        log.write_text("".join(_line(record) for record in records), encoding="utf-8")
    return records


def _time_for_another(records: list[TrialRecord], elapsed_s: float, budget_s: float) -> bool:
    """The first trial always runs, so that a model comes out whatever the budget."""
    if not any(record.score is not None for record in records):
        return True
    expected = SAFETY * max(record.seconds for record in records[-5:])
    return elapsed_s + expected <= budget_s


def _run_trial(
    number: int, values: dict[str, Any], evaluate: Callable[[Mapping[str, Any]], TrialResult]
) -> TrialRecord:
    started = time.perf_counter()
    try:
        result = evaluate(values)
    except Exception as error:  # noqa: BLE001  whatever one trial dies of, the search goes on; the tuner stops a series
        seconds = time.perf_counter() - started
        return TrialRecord(number, "failed", values, None, None, 0, seconds, f"{type(error).__name__}: {error}"[:500])
    if not math.isfinite(result.score):
        return TrialRecord(number, "failed", values, None, None, result.epochs, result.seconds, "the loss diverged")
    return TrialRecord(number, "completed", values, result.score, result.accuracy, result.epochs, result.seconds)


def _append(log: Path, record: TrialRecord) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(_line(record))
        file.flush()
        os.fsync(file.fileno())


def _line(record: TrialRecord) -> str:
    return json.dumps(asdict(record), sort_keys=True) + "\n"


def _note(records: list[TrialRecord], left_s: float) -> str:
    scores = [record.score for record in records if record.score is not None]
    best = f"best {max(scores):.4f}" if scores else "none succeeded yet"
    return f"{best}, {max(0, round(left_s))} s left"
