"""Where a climb stands: what was tried, how good it is, and what the time that is left holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from automl_cnn.search.budget import Clock
from automl_cnn.search.climb_terms import ClimbPlan, Costs
from automl_cnn.search.space import Arm, SearchSpace, plain_head, tuning_values
from automl_cnn.search.trial import CACHED_FEATURES, MORE_VIEWS, Fidelity
from automl_cnn.search.trial_log import TrialRecord, best_of

SAFETY = 1.2  # a trial may take this much longer than the slowest of the last five
FIRST_HEAD_S = 3.0  # before any was fitted
LEAST_PACE = 0.5  # share of the expected time that a fine-tuning takes at least


class Standing:
    """The records of a climb, and the questions that it decides by.

    Args:
        space: what may be chosen.
        plan: how far to go.
        costs: what things take.
        clock: the budget, and the time of the last record.
    Attributes:
        records: in the order in which they were made.
        batch_size, rate: of the next fine-tuning; a failed one lowers them.
    """

    def __init__(self, space: SearchSpace, plan: ClimbPlan, costs: Costs, clock: Clock) -> None:
        self.space, self.plan, self.costs, self.clock = space, plan, costs, clock
        self.records: list[TrialRecord] = []
        self.batch_size, self.rate = plan.batch_size, space.fine_tuning_rate

    def add(self, record: TrialRecord) -> None:
        """Take a trial's record in."""
        self.records.append(record)
        self.costs.told(record)

    def all_images(self, views: int) -> Fidelity:
        """Heads on all images, with so many augmented views of each."""
        return Fidelity(CACHED_FEATURES, self.plan.images, views)

    def succeeded(self) -> bool:
        """Whether there is a model."""
        return any(record.score is not None for record in self.records)

    def ranked(self, *fidelities: str) -> list[TrialRecord]:
        """Trials on all images that ended well, the best first."""
        done = [r for r in self.records if r.score is not None and r.fidelity in fidelities]
        whole = [record for record in done if record.images == self.plan.images]
        return sorted(whole, key=lambda record: (-(record.score or 0.0), record.trial_id))

    def best_head_score(self) -> float:
        """Of those on all images; 0 before the first."""
        return max((record.score or 0.0 for record in self.ranked(CACHED_FEATURES, MORE_VIEWS)), default=0.0)

    def heads_tried(self) -> int:
        """Those of the screening included."""
        return sum(record.phase in ("screening", "heads") for record in self.records)

    def may_fine_tune(self) -> bool:
        """Whether the plan allows another fine-tuning."""
        done = sum(record.phase == "fine_tuning" for record in self.records)
        return done < (math.inf if self.plan.max_fine_tunings is None else self.plan.max_fine_tunings)

    def left_s(self, values: Mapping[str, Any] | None = None) -> float:
        """Time until the later stages must begin, whoever wins: the best so far or a trial with these values."""
        named = (
            [best_of(self.records).values]
            if self.succeeded()
            else [plain_head((*self.space.arms, *self.space.from_scratch)[0])]
        )
        named += [dict(values)] if values else []
        return self.clock.budget_s - self.clock.now_s - max(self.costs.reserve_s(each) for each in named)

    def needed_s(self, values: Mapping[str, Any], fidelity: Fidelity) -> float:
        """A trial on cached features: what is missing of these, and fitting as long as lately (a head, or several)."""
        lately = [r.seconds - r.features_s for r in self._last_heads()]
        a_head_s = SAFETY * max(lately, default=FIRST_HEAD_S)
        heads = len(values.get("members", [1])) * max(1.0, (1 + fidelity.views) / 2)
        return self.costs.features_s(values, fidelity) + heads * a_head_s

    def time_for_a_head(self, until_s: float) -> bool:
        """Whether another head ends before `until_s` and leaves the later stages their time."""
        expected_s = SAFETY * max((record.seconds for record in self._last_heads()), default=FIRST_HEAD_S)
        return self.clock.now_s + expected_s <= until_s and expected_s <= self.left_s()

    def view_s(self, arm: Arm, policy: str) -> float:
        """What one view of all images takes beside the images themselves."""
        plain = plain_head(arm)
        seen = self.costs.features_s({**plain, "augmentation": policy}, self.all_images(1))
        return seen - self.costs.features_s(plain, self.all_images(0))

    def shortest_tuning_s(self, arm: Arm, epochs: int) -> float:
        """Fine-tuning an arm from the highest depth that is tried, with the features of all images for its head."""
        head = plain_head(arm)
        values = self.tuning_values(head, max(self.space.depths), epochs)
        once_s, epoch_s = self.costs.expected_tuning_s(values)
        return self.costs.features_s(head, self.all_images(0)) + once_s + epochs * epoch_s

    def tuning_values(
        self, head: Mapping[str, Any], depth: int, epochs: int, rate: float | None = None
    ) -> dict[str, Any]:
        """Values of a fine-tuning from a head, as things stand; at `self.rate` where no other is given."""
        weight = self.space.tuning_class_weight
        return tuning_values(head, depth, rate or self.rate, epochs, self.batch_size, weight)

    def epochs_that_fit(self, values: Mapping[str, Any]) -> int:
        """Epochs of a fine-tuning with these values that the time holds."""
        once_s, epoch_s = self.costs.tuning_s(values)
        return max(0, int((self.left_s(values) / self._tuning_pace() - once_s) / epoch_s))

    def _tuning_pace(self) -> float:
        """How much longer the last fine-tuning took than had been expected; one that was resumed says too little."""
        done = [r for r in self.records if r.phase == "fine_tuning" and r.score is not None and r.epochs]
        if not done:
            return 1.0
        once_s, epoch_s = self.costs.tuning_s(done[-1].values)  # its arm is known by now: nothing is probed
        return max(LEAST_PACE, (done[-1].seconds - done[-1].features_s) / (once_s + done[-1].epochs * epoch_s))

    def _last_heads(self) -> list[TrialRecord]:
        return [record for record in self.records if record.phase in ("screening", "heads")][-5:]
