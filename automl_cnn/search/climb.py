"""What is tried next: cheap trials first, and of every kind only as many as their results and the time deserve.

1. Screening: every arm (backbone and input size) gets one plain linear head on a part of the images; the better third
   goes on to more images, until few enough are left (successive halving, Jamieson and Talwalkar 2016).
2. Heads: an oracle tries heads and augmentation policies on the arms that are left, about a second each.
3. More views: the best are fitted again with more augmented views of every image.
4. Ensembles: the best heads on one arm, merged into one.
5. Fine-tuning: of the few that deserve it, from several depths, with the best so far as teacher (Hinton et al. 2015;
   Furlanello et al. 2018 where it teaches itself), and longer as long as that gains.
6. From 2 again, until time or trials are used up.

A climb is a generator: it yields steps, is sent what came of them, and returns the sentence that says why it ended. All
it knows is in those records, the time included (`Clock.now_s`), so the same log gives the same climb.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from typing import Any

from automl_cnn.search.budget import Clock
from automl_cnn.search.climb_terms import ClimbPlan, Costs, Oracle
from automl_cnn.search.space import Arm, SearchSpace, Space, arm_of, head_space, plain_head
from automl_cnn.search.standing import Standing
from automl_cnn.search.trial import CACHED_FEATURES, MORE_VIEWS, Fidelity
from automl_cnn.search.trial_log import Step, TrialRecord
from automl_cnn.search.tunings import FEWEST_EPOCHS, due_tunings

RUNGS = (400, 1600)  # images on which arms are compared before all are looked at
WORTH_A_RUNG = 0.6  # a rung on more than this share of the images saves too little
SCREENING_SHARE = 0.25  # of the search's time
FEATURES_SHARE = 0.3  # of what is left then, for features of all images and of augmented views
HEADS_SHARE = 0.15  # of what is left then, for the first round of heads: fine-tuning gains more …
FEWEST_HEADS_SHARE = 0.1  # … or less, down to this, where a fine-tuning would not fit afterwards
OVERRUN = 0.1  # of the budget, for a head on all images where even the first trial leaves no time
VIEWS_SHARE = 0.15  # of what is left before the first fine-tuning, for more views of the best heads
PATIENCE_TRIALS = 40  # heads without a gain before something else is tried
FAILURES_IN_A_ROW = 5  # heads
LEADERS = 3  # heads that get more views
ENSEMBLES = (3, 5)  # heads that are merged
RETRIES = 2  # of a fine-tuning that failed: out of memory with half the batch, diverged at a third of the rate

Steps = Generator[Step, TrialRecord, None]


def climb(
    space: SearchSpace,
    plan: ClimbPlan,
    costs: Costs,
    clock: Clock,
    oracle: Callable[[Space], Oracle],
    logged: Sequence[TrialRecord] = (),
) -> Generator[Step, TrialRecord, str]:
    """Decide what is tried, from the first trial to the last.

    Args:
        space: what may be chosen.
        plan: how far to go.
        costs: what things take.
        clock: the budget, and the time of the last record.
        oracle: makes the oracle that proposes heads.
        logged: trials that earlier runs of this study finished; they spare the oracle its deliberation.
    Yields:
        The next trial. It expects to be sent its record.
    Returns:
        Why the climb ended, as a sentence.
    """
    return (yield from _Climb(Standing(space, plan, costs, clock), oracle, logged).run())


class _Climb:
    def __init__(self, standing: Standing, oracle: Callable[[Space], Oracle], logged: Sequence[TrialRecord]) -> None:
        self._standing, self._space, self._plan, self._make_oracle = standing, standing.space, standing.plan, oracle
        self._logged_heads = deque(record for record in logged if record.phase == "heads")
        self._exhausted = False

    def run(self) -> Generator[Step, TrialRecord, str]:
        standing = self._standing
        if not self._space.arms:
            yield from self._fine_tune()
            return "networks from scratch have no features to search heads on, and no other training is due or fits"
        arms = yield from self._screen()
        first = Step("heads", plain_head(arms[0]), standing.all_images(0))
        missing_s = standing.needed_s(first.values, first.fidelity) - standing.left_s()
        if missing_s > 0:
            if missing_s <= OVERRUN * standing.clock.budget_s:
                yield from self._try(first)
            seen = max(record.images for record in standing.records)
            return (
                "search.budget_minutes is too short for more: the fastest linear head is delivered, "
                f"fitted on {seen:,} of {self._plan.images:,} images"
            )
        heads = head_space(*self._affordable(arms))
        oracle = self._make_oracle(heads)
        until_s = standing.clock.now_s + self._time_of_heads(arms) if standing.may_fine_tune() else math.inf
        while True:
            before, before_tuning = len(standing.records), until_s < math.inf
            yield from self._search_heads(heads, oracle, until_s)
            yield from self._look_longer(VIEWS_SHARE if before_tuning else 1.0)
            yield from self._merge()
            yield from self._fine_tune()
            until_s = math.inf
            if len(standing.records) == before:
                return self._why()

    def _screen(self) -> Generator[Step, TrialRecord, list[Arm]]:
        """Successive halving over arms; the first trial always runs, so that a model comes out whatever the budget."""
        standing, arms, finalists = self._standing, list(self._space.arms), self._plan.finalists
        rungs = [images for images in RUNGS if images < WORTH_A_RUNG * self._plan.images] or [self._plan.images]
        until_s = standing.clock.now_s + SCREENING_SHARE * standing.left_s()
        for images in rungs:
            scores: dict[Arm, float] = {}
            for arm in arms if len(arms) > finalists else arms[:1]:
                values, fidelity = plain_head(arm), Fidelity(CACHED_FEATURES, images, 0)
                if standing.succeeded() and (
                    standing.clock.now_s >= until_s  # asking what an arm costs may take seconds itself
                    or standing.clock.now_s + standing.needed_s(values, fidelity) > until_s
                ):
                    break
                record = yield from self._try(Step("screening", values, fidelity))
                if record.score is not None:
                    scores[arm] = record.score
            if len(arms) <= finalists:
                break
            if scores:
                kept = max(finalists, math.ceil(len(scores) / 3))
                arms = sorted(self._tunable(scores), key=lambda arm: -scores[arm])[:kept]
        return arms[:finalists]

    def _tunable(self, arms: Collection[Arm]) -> list[Arm]:
        """Those that there is time to fine-tune, if any: as long as planned, or shortly.

        A small network that is fine-tuned beats a large one that is not.
        """
        if not self._standing.may_fine_tune():
            return list(arms)
        left_s = self._standing.left_s()
        for epochs in (self._plan.epochs, FEWEST_EPOCHS):
            fitting = [arm for arm in arms if self._standing.shortest_tuning_s(arm, epochs) <= left_s]
            if fitting:
                return fitting
        return list(arms)

    def _time_of_heads(self, arms: Sequence[Arm]) -> float:
        """Seconds of the first round of heads, so that a whole fine-tuning fits afterwards if that is possible."""
        left_s = self._standing.left_s()
        tuning_s = min(self._standing.shortest_tuning_s(arm, self._plan.epochs) for arm in arms)
        return min(HEADS_SHARE * left_s, max(FEWEST_HEADS_SHARE * left_s, left_s - tuning_s))

    def _affordable(self, arms: list[Arm]) -> tuple[list[Arm], list[str]]:
        """Arms and policies whose features can be computed in their share of the time; one of each always."""
        standing = self._standing
        left_s = FEATURES_SHARE * standing.left_s()
        kept: list[Arm] = []
        for arm in arms:
            needed_s = standing.costs.features_s(plain_head(arm), standing.all_images(0))
            if not kept or needed_s <= left_s:
                kept.append(arm)
                left_s -= needed_s
        policies = [self._space.policies[0]]
        for policy in self._space.policies[1:]:
            needed_s = sum(standing.view_s(arm, policy) for arm in kept)
            if needed_s <= left_s:
                policies.append(policy)
                left_s -= needed_s
        return kept, policies

    def _search_heads(self, heads: Space, oracle: Oracle, until_s: float) -> Steps:
        standing, stale, failures = self._standing, 0, 0
        best = standing.best_head_score()
        while not self._exhausted and stale < PATIENCE_TRIALS and failures < FAILURES_IN_A_ROW:
            if standing.heads_tried() >= (self._plan.max_trials or math.inf) or not standing.time_for_a_head(until_s):
                return
            trial_id, values = self._propose(heads, oracle)
            if values is None:
                self._exhausted = True
                return
            fidelity = standing.all_images(0 if values["augmentation"] == "none" else 1)
            if standing.needed_s(values, fidelity) > standing.left_s(values):
                if trial_id is not None:
                    oracle.tell(trial_id, None)
                return
            record = yield from self._try(Step("heads", values, fidelity))
            if trial_id is None:
                oracle.replay(heads.point(values) or {}, record.score)
            else:
                oracle.tell(trial_id, record.score)
            failures = failures + 1 if record.score is None else 0
            stale = stale + 1 if (record.score or 0.0) <= best else 0
            best = max(best, record.score or 0.0)
        self._exhausted |= failures >= FAILURES_IN_A_ROW

    def _propose(self, heads: Space, oracle: Oracle) -> tuple[str | None, dict[str, Any] | None]:
        """The next head; one that the log holds needs no deliberation."""
        while self._logged_heads:
            values = self._logged_heads.popleft().values
            if heads.point(values) is not None:
                return None, values
        asked = oracle.ask()
        return (asked[0], heads.values(asked[1])) if asked else (None, None)

    def _look_longer(self, share: float) -> Steps:
        """More views for the best heads that were trained on augmented ones, in so much of the time that is left."""
        standing = self._standing
        leaders = [record for record in standing.ranked(CACHED_FEATURES) if record.views]
        fidelity = Fidelity(MORE_VIEWS, self._plan.images, self._plan.views)
        until_s = standing.clock.now_s + share * standing.left_s()
        for record in leaders[:LEADERS]:
            if standing.clock.now_s + standing.needed_s(record.values, fidelity) <= until_s:
                yield from self._try_once(Step("more_views", record.values, fidelity))

    def _merge(self) -> Steps:
        """The best heads on the best arm, all linear or all hidden, become one."""
        ranked = self._standing.ranked(CACHED_FEATURES, MORE_VIEWS)
        ranked = [record for record in ranked if "members" not in record.values]
        if not ranked:
            return
        best = ranked[0]
        alike: dict[str, dict[str, Any]] = {}
        for record in ranked:
            values = record.values
            same_kind = bool(values["hidden_units"]) == bool(best.values["hidden_units"])
            if arm_of(values) == arm_of(best.values) and same_kind:
                alike.setdefault(repr(sorted(values.items())), values)
        fidelity = Fidelity(best.fidelity, self._plan.images, best.views)
        for size in ENSEMBLES:
            if len(alike) >= size:
                yield from self._try_once(
                    Step("ensemble", {**best.values, "members": list(alike.values())[:size]}, fidelity)
                )

    def _fine_tune(self) -> Steps:
        standing = self._standing
        while standing.may_fine_tune():
            step = next(due_tunings(standing), None)
            if step is None:
                return
            record, values = (yield from self._try(step)), step.values
            for _ in range(RETRIES):
                if record.out_of_memory:
                    standing.batch_size = max(1, standing.batch_size // 2)
                    values = {**values, "batch_size": standing.batch_size}
                elif record.diverged:
                    standing.rate /= 3
                    values = {**values, "fine_tuning_rate": values["fine_tuning_rate"] / 3}
                if record.score is not None or values == record.values or standing.left_s() <= 0:
                    break
                record = yield from self._try(Step("fine_tuning", values, step.fidelity))

    def _try(self, step: Step) -> Generator[Step, TrialRecord, TrialRecord]:
        record = yield step
        self._standing.add(record)
        return record

    def _try_once(self, step: Step) -> Steps:
        """Try a step on cached features unless it was tried before or there is no time for it."""
        standing = self._standing
        tried = any(r.values == step.values and r.fidelity == step.fidelity.name for r in standing.records)
        if not tried and standing.needed_s(step.values, step.fidelity) <= standing.left_s(step.values):
            yield from self._try(step)

    def _why(self) -> str:
        used_up = self._standing.heads_tried() >= (self._plan.max_trials or math.inf)
        if used_up or self._exhausted:
            what = "search.max_trials is reached" if used_up else "the oracle has nothing left to propose"
            return f"{what}, and no other fine-tuning is due or fits"
        return "its time is used"
