"""A search whose trials are a formula: backbones differ, heads have a best point, time is counted, not spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from automl_cnn.search.budget import Clock
from automl_cnn.search.climb import climb
from automl_cnn.search.climb_terms import ClimbPlan
from automl_cnn.search.space import Arm, SearchSpace, Space, arm_of
from automl_cnn.search.study import StudyEnd, run_study
from automl_cnn.search.trial import Fidelity, TrialResult
from automl_cnn.search.trial_log import TrialRecord, read_log

ARMS = tuple(Arm(f"network-{letter}", size_px) for letter in "abc" for size_px in (96, 160, 224))
WORTH = {arm: 0.6 + 0.03 * index - 0.02 * (index % 3) for index, arm in enumerate(ARMS)}
SPACE = SearchSpace(ARMS, ("none", "flip"), (6, 4))
PLAN = ClimbPlan(
    images=4000, max_trials=30, max_fine_tunings=3, epochs=8, finalists=2, views=4, batch_size=32
)  # fmt: skip
IMAGE_S = 0.01
HEAD_S = 2.0


class CountedClock(Clock):
    """A clock that trials move on, so that a test of an hour takes no hour."""

    def __init__(self, budget_s: float) -> None:
        super().__init__(budget_s, 0.0)
        self.at_s = 0.0

    def go_on_after(self, spent_s: float) -> None:
        self.at_s += spent_s

    def read(self) -> float:
        return self.at_s


class CountedCosts:
    """Every image of every arm takes IMAGE_S; the later stages take a minute."""

    def __init__(self) -> None:
        self._covered: dict[Arm, int] = {}

    def told(self, record: TrialRecord) -> None:
        arm = arm_of(record.values)
        self._covered[arm] = max(self._covered.get(arm, 0), record.images)

    def features_s(self, values: Mapping[str, Any], fidelity: Fidelity) -> float:
        return IMAGE_S * max(0, fidelity.images - self._covered.get(arm_of(values), 0))

    def tuning_s(self, values: Mapping[str, Any]) -> tuple[float, float]:
        return 10.0, 10.0 * (10 - values["unfreeze_from_block"])

    def expected_tuning_s(self, values: Mapping[str, Any]) -> tuple[float, float]:
        return self.tuning_s(values)

    def reserve_s(self, values: Mapping[str, Any]) -> float:
        return 60.0


class RandomOracle:
    """Draws every point from a seed."""

    def __init__(self, space: Space) -> None:
        self._space, self._rng, self._asked = space, np.random.default_rng(3), 0

    def ask(self) -> tuple[str, dict[str, Any]]:
        self._asked += 1
        return str(self._asked), {
            d.name: d.choices[self._rng.integers(len(d.choices))]
            if d.choices
            else float(np.exp(self._rng.uniform(*np.log(d.bounds or (1, 2)))))
            for d in self._space.dimensions
        }

    def tell(self, trial_id: str, score: float | None) -> None:
        """Nothing is learnt."""

    def replay(self, point: Mapping[str, Any], score: float | None) -> None:
        self.ask()


def worth(values: Mapping[str, Any], fidelity: Fidelity) -> float:
    """The score of a trial: of its arm, its head, the images and views it saw, and its fine-tuning."""
    score = WORTH[arm_of(values)] - 0.02 * abs(math.log(values["learning_rate"] / 3e-3)) - 0.01 * values["dropout"]
    score += 0.01 * (values["hidden_units"] > 0) + 0.002 * fidelity.views + 0.003 * len(values.get("members", []))
    if "epochs" in values:
        score += 0.05 * (1 - math.exp(-values["epochs"] / 6)) * (1 if values["unfreeze_from_block"] == 4 else 0.8)
    return score


def run(
    log: Path,
    evaluate: Callable[[dict[str, Any], Fidelity], TrialResult] | None = None,
    plan: ClimbPlan = PLAN,
    budget_s: float = 1e6,
    space: SearchSpace = SPACE,
) -> tuple[StudyEnd, CountedClock]:
    """Run a study in the landscape, or go on with the one that `log` holds."""
    clock, costs = CountedClock(budget_s), CountedCosts()

    def trial(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        features_s = costs.features_s(values, fidelity)
        once_s, epoch_s = costs.tuning_s(values) if "epochs" in values else (HEAD_S, 0.0)
        clock.at_s += features_s + once_s + epoch_s * values.get("epochs", 0)
        if evaluate is not None:
            return evaluate(values, fidelity)
        score = worth(values, fidelity)
        return TrialResult(score, score, values.get("epochs", 16), features_s)

    logged = read_log(log)
    return run_study(climb(space, plan, costs, clock, RandomOracle, logged), trial, log, clock), clock
