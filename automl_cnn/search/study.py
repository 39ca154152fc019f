"""A study: trials one after the other, each written down before the next begins, so that a kill loses at most one.

What is tried next is decided by a climb (`search.climb`), a generator that is told of every finished trial. It decides
from what the log holds and nothing else, the time included: a trial's line says when it ended. A killed study is
therefore continued by running the climb from its start and answering out of the log as long as that has the answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl_cnn.errors import BudgetError
from automl_cnn.progress import Progress, silent
from automl_cnn.search.budget import Clock
from automl_cnn.search.trial import Fidelity, TrialResult
from automl_cnn.search.trial_log import Step, TrialRecord, append, best_of, read_log

Climb = Generator[Step, TrialRecord, str]
Evaluate = Callable[[dict[str, Any], Fidelity], TrialResult]


@dataclass(frozen=True)
class StudyEnd:
    """All finished trials, by number, and the sentence that says why there are no more."""

    records: list[TrialRecord]
    reason: str


def run_study(climb: Climb, evaluate: Evaluate, log: Path, clock: Clock, progress: Progress = silent) -> StudyEnd:
    """Run what the climb asks for until it ends.

    Args:
        climb: decides; see `search.climb`.
        evaluate: runs one trial.
        log: file of finished trials, one JSON object a line; an existing one is continued, unless all of it failed.
        clock: the one that the climb reads.
        progress: told of every finished trial.
    Returns:
        Every finished trial, those of earlier runs included.
    Raises:
        BudgetError: not one trial succeeded.
    """
    records = read_log(log)
    if records and all(record.score is None for record in records):  # what they failed of may be mended
        progress(f"none of {len(records)} trials succeeded the last time: starting again", 1, 1)
        log.unlink()
        records = []
    known = {_key(record.values, record.fidelity, record.images, record.views): record for record in records}
    if records:
        progress(f"continuing after {len(records)} finished trials", 1, 1)
    clock.go_on_after(max((record.at_s for record in records), default=0.0))
    try:
        step = next(climb)
        while True:
            fidelity = step.fidelity
            record = known.get(_key(step.values, fidelity.name, fidelity.images, fidelity.views))
            if record is None:
                record = _run_trial(len(records), step, evaluate, clock)
                records.append(record)
                append(log, record)
                known[_key(record.values, record.fidelity, record.images, record.views)] = record
                progress(
                    _LABELS[step.phase], len(records), len(records) + 1, _note(records, clock.budget_s - record.at_s)
                )
            clock.now_s = max(clock.now_s, record.at_s)
            step = climb.send(record)
    except StopIteration as ended:
        reason = str(ended.value)
    if all(record.score is None for record in records):
        raise BudgetError(
            "search", expected="at least one trial that succeeds", received=records[-1].message if records else "none",
            action="Raise search.budget_minutes, or mend what the message says.",
        )  # fmt: skip
    return StudyEnd(records, reason)


_LABELS = {
    "screening": "trials: comparing backbones",
    "heads": "trials: heads",
    "more_views": "trials: more views",
    "ensemble": "trials: ensembles",
    "fine_tuning": "trials: fine-tuning",
}


def _run_trial(number: int, step: Step, evaluate: Evaluate, clock: Clock) -> TrialRecord:
    fidelity, started_s = step.fidelity, clock.read()
    result, message = TrialResult(float("nan"), 0.0, 0, 0.0), "the loss diverged"
    try:
        result = evaluate(step.values, fidelity)
    except Exception as error:  # noqa: BLE001  whatever one trial dies of, the search goes on
        message = f"{type(error).__name__}: {error}"[:500]
    succeeded = math.isfinite(result.score)
    return TrialRecord(
        number, "completed" if succeeded else "failed", step.phase, fidelity.name, fidelity.images, fidelity.views,
        step.values, result.score if succeeded else None, result.accuracy if succeeded else None, result.epochs,
        round(clock.read() - started_s, 3), round(result.features_s, 3), round(clock.read(), 3),
        "" if succeeded else message, result.schedule_epochs,
        round(result.standard_error, 6), round(result.log_loss, 6),
    )  # fmt: skip


def _key(values: dict[str, Any], fidelity: str, images: int, views: int) -> str:
    return json.dumps([values, fidelity, images, views], sort_keys=True)


def _note(records: list[TrialRecord], left_s: float) -> str:
    best = f"best {best_of(records).score:.4f}" if any(record.score for record in records) else "none succeeded yet"
    return f"{best}, {max(0, round(left_s))} s left"
