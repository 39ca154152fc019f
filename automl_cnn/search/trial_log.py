"""The log of a study: one line a finished trial, on the disk before the next trial begins."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl_cnn.artifacts import replacing
from automl_cnn.search.trial import Fidelity


@dataclass(frozen=True)
class Step:
    """A trial to run.

    Attributes:
        phase: screening, heads, more_views, ensemble or fine_tuning; why it is tried.
        values: hyperparameters.
        fidelity: how thoroughly.
    """

    phase: str
    values: dict[str, Any]
    fidelity: Fidelity


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial, as one line of the study's log.

    Attributes:
        trial_id: number of the trial, from 0.
        status: completed or failed.
        phase: why it was tried.
        fidelity: cached_features, more_views or fine_tuning.
        images: training images it saw.
        views: augmented views of each beside the image itself.
        values: hyperparameters.
        score: the objective on validation; None when failed.
        accuracy: on validation; None when failed.
        epochs: passes that were made.
        seconds: wall-clock time of the trial.
        features_s: of these, for features that no trial had needed before.
        at_s: when it ended, in seconds of the study; the time between a kill and the next start does not count.
        message: why it failed, else empty.
        schedule_epochs: over which the rate of a fine-tuning fell: those of `values`, or fewer where time ran short.
        standard_error: of the score, for want of validation images.
        log_loss: settles scores that are equal within it, in nats; after temperature scaling.
    """

    trial_id: int
    status: str
    phase: str
    fidelity: str
    images: int
    views: int
    values: dict[str, Any]
    score: float | None
    accuracy: float | None
    epochs: int
    seconds: float
    features_s: float
    at_s: float
    message: str = ""
    schedule_epochs: int = 0
    standard_error: float = 0.0
    log_loss: float = 0.0

    @property
    def delivered_values(self) -> dict[str, Any]:
        """Hyperparameters of what came out, by which it is found or trained again."""
        return {**self.values, "epochs": self.schedule_epochs} if self.schedule_epochs else self.values

    @property
    def diverged(self) -> bool:
        """Whether its loss was no number any more: a lower rate may do."""
        return any(word in self.message for word in ("diverged", "a finite loss"))

    @property
    def out_of_memory(self) -> bool:
        """Whether it failed for want of memory: a smaller batch may do."""
        return any(word in self.message for word in ("Memory", "memory", "ResourceExhausted", "OOM"))


def best_of(records: list[TrialRecord]) -> TrialRecord:
    """The trial that is likely to be best, among those that saw the most images.

    The highest score of many is the luckiest one. So of all that come within the standard error of it the one with the
    lowest log loss is taken; of equals the one with the higher score, then the one found first. A score on a part of
    the images is not compared with one on all: it is used only where there is no other.
    """
    completed = [record for record in records if record.score is not None]
    most = max(record.images for record in completed)
    whole = [record for record in completed if record.images == most]
    highest = max(whole, key=lambda record: (record.score or 0.0, -record.trial_id))
    near = [record for record in whole if (record.score or 0.0) >= (highest.score or 0.0) - highest.standard_error]
    return min(near, key=lambda record: (record.log_loss, -(record.score or 0.0), record.trial_id))


def read_log(log: Path) -> list[TrialRecord]:
    """Finished trials of a log; a last line cut off by a kill is dropped."""
    records: list[TrialRecord] = []
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    for line in lines:
        try:
            records.append(TrialRecord(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):
            break
    if len(records) < len(lines):  # what was cut off must not stand before the next line
        with replacing(log) as temporary:
            temporary.write_text("".join(_line(record) for record in records), encoding="utf-8")
    return records


def append(log: Path, record: TrialRecord) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(_line(record))
        file.flush()
        os.fsync(file.fileno())


def _line(record: TrialRecord) -> str:
    return json.dumps(asdict(record), sort_keys=True) + "\n"
