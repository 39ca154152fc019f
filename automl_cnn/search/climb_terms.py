"""What a climb is told: how far it may go, what things take, and who proposes heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from automl_cnn.search.trial import Fidelity
from automl_cnn.search.trial_log import TrialRecord


@dataclass(frozen=True)
class ClimbPlan:
    """How far a climb may go where time does not end it.

    Attributes:
        images: of the training side.
        max_trials: most heads that are tried, those of the screening included; None: what the time holds.
        max_fine_tunings: likewise; 0 for none.
        epochs: most of a fine-tuning that was not tried shorter before.
        finalists: arms on which heads are searched.
        views: augmented views of every image at the fidelity more_views.
        batch_size: images a step of fine-tuning.
        distillation: share of the loss that comes from a teacher, the best network so far; 0: no network has one.
    """

    images: int
    max_trials: int | None
    max_fine_tunings: int | None
    epochs: int
    finalists: int
    views: int
    batch_size: int
    distillation: float = 0.0


class Costs(Protocol):
    """What things take on this machine, in seconds; the same answers for a study that is continued."""

    def told(self, record: TrialRecord) -> None:
        """Count the features that a trial needed as computed."""

    def features_s(self, values: Mapping[str, Any], fidelity: Fidelity) -> float:
        """Features that such a trial needs and no trial has needed before."""

    def tuning_s(self, values: Mapping[str, Any]) -> tuple[float, float]:
        """Fine-tuning with these values: once, and for every epoch."""

    def expected_tuning_s(self, values: Mapping[str, Any]) -> tuple[float, float]:
        """As `tuning_s`, by the network's pace alone: no step is tried."""

    def reserve_s(self, values: Mapping[str, Any]) -> float:
        """The stages train, quantize and evaluate, if these values win."""


class Oracle(Protocol):
    """As `search.tuner.Tuner`."""

    def ask(self) -> tuple[str, dict[str, Any]] | None: ...

    def tell(self, trial_id: str, score: float | None) -> None: ...

    def replay(self, point: Mapping[str, Any], score: float | None) -> None: ...
