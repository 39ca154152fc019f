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
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from typing import Any

from automl_cnn.search.budget import Clock
from automl_cnn.search.climb_terms import ClimbPlan, Costs, Oracle
from automl_cnn.search.space import (
    Arm,
    SearchSpace,
    Space,
    arm_of,
    head_space,
    plain_head,
    taught_values,
    tuning_values,
)
from automl_cnn.search.trial import CACHED_FEATURES, FINE_TUNING, MORE_VIEWS, Fidelity
from automl_cnn.search.trial_log import Step, TrialRecord, best_of

RUNGS = (400, 1600)  # images on which arms are compared before all are looked at
WORTH_A_RUNG = 0.6  # a rung on more than this share of the images saves too little
SCREENING_SHARE = 0.25  # of the search's time
FEATURES_SHARE = 0.3  # of what is left then, for features of all images and of augmented views
HEADS_SHARE = 0.15  # of what is left then, for the first round of heads: fine-tuning gains more …
FEWEST_HEADS_SHARE = 0.1  # … or less, down to this, where a fine-tuning would not fit afterwards
OVERRUN = 0.1  # of the budget, for a head on all images where even the first trial leaves no time
PATIENCE_TRIALS = 40  # heads without a gain before something else is tried
FAILURES_IN_A_ROW = 5  # heads
LEADERS = 3  # heads that get more views
ENSEMBLES = (3, 5)  # heads that are merged
DESERVING = 0.05  # an arm whose best head scores this much less than the best of all is not fine-tuned
FIRST_POLICY = "crop"  # of a fine-tuning, where it may be used
FEWEST_EPOCHS = 3  # a shorter fine-tuning is not begun
ENOUGH_EPOCHS = 2 / 3  # of those planned; depths that leave time for fewer come last
TEACHER_AFTER = 2  # fine-tunings: the best of them is worth listening to
FROM_SCRATCH = 4  # times the epochs of a fine-tuning, at twice the rate
RETRIES = 2  # of a fine-tuning that failed: out of memory with half the batch, diverged at a third of the rate
SAFETY = 1.2  # a trial may take this much longer than the slowest of the last five
FIRST_HEAD_S = 3.0  # before any was fitted


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
    return (yield from _Climb(space, plan, costs, clock, oracle, logged).run())


class _Climb:
    def __init__(
        self,
        space: SearchSpace,
        plan: ClimbPlan,
        costs: Costs,
        clock: Clock,
        oracle: Callable[[Space], Oracle],
        logged: Sequence[TrialRecord],
    ) -> None:
        self._space, self._plan, self._costs, self._clock, self._make_oracle = space, plan, costs, clock, oracle
        self._logged_heads = deque(record for record in logged if record.phase == "heads")
        self._records: list[TrialRecord] = []
        self._batch_size, self._rate = plan.batch_size, space.fine_tuning_rate
        self._exhausted = False

    def run(self) -> Generator[Step, TrialRecord, str]:
        if not self._space.arms:
            yield from self._fine_tune()
            return "networks from scratch have no features to search heads on, and no other training is due or fits"
        arms = yield from self._screen()
        if self._needed_s(plain_head(arms[0]), self._all(0)) > self._left_s():
            if self._needed_s(plain_head(arms[0]), self._all(0)) <= self._left_s() + OVERRUN * self._clock.budget_s:
                yield from self._try(Step("heads", plain_head(arms[0]), self._all(0)))
            seen = max(record.images for record in self._records)
            return (
                "search.budget_minutes is too short for more: the fastest linear head is delivered, "
                f"fitted on {seen:,} of {self._plan.images:,} images"
            )
        heads = head_space(*self._affordable(arms))
        oracle = self._make_oracle(heads)
        until_s = self._clock.now_s + self._time_of_heads(arms) if self._may_fine_tune() else math.inf
        while True:
            before = len(self._records)
            yield from self._search_heads(heads, oracle, until_s)
            yield from self._look_longer()
            yield from self._merge()
            yield from self._fine_tune()
            until_s = math.inf
            if len(self._records) == before:
                return self._why()

    def _screen(self) -> Generator[Step, TrialRecord, list[Arm]]:
        """Successive halving over arms; the first trial always runs, so that a model comes out whatever the budget."""
        arms = list(self._space.arms)
        rungs = [images for images in RUNGS if images < WORTH_A_RUNG * self._plan.images] or [self._plan.images]
        until_s = self._clock.now_s + SCREENING_SHARE * self._left_s()
        for images in rungs:
            scores: dict[Arm, float] = {}
            for arm in arms if len(arms) > self._plan.finalists else arms[:1]:
                values, fidelity = plain_head(arm), Fidelity(CACHED_FEATURES, images, 0)
                if self._succeeded() and self._clock.now_s + self._needed_s(values, fidelity) > until_s:
                    break
                record = yield from self._try(Step("screening", values, fidelity))
                if record.score is not None:
                    scores[arm] = record.score
            if len(arms) <= self._plan.finalists:
                break
            if scores:
                kept = max(self._plan.finalists, math.ceil(len(scores) / 3))
                arms = sorted(self._tunable(scores), key=lambda arm: -scores[arm])[:kept]
        return arms[: self._plan.finalists]

    def _tunable(self, arms: Collection[Arm]) -> list[Arm]:
        """Those that there is time to fine-tune, if any: as long as planned, or shortly.

        A small network that is fine-tuned beats a large one that is not.
        """
        if not self._may_fine_tune():
            return list(arms)
        left_s = self._left_s()
        for epochs in (self._plan.epochs, FEWEST_EPOCHS):
            fitting = [arm for arm in arms if self._shortest_tuning_s(arm, epochs) <= left_s]
            if fitting:
                return fitting
        return list(arms)

    def _time_of_heads(self, arms: Sequence[Arm]) -> float:
        """Seconds of the first round of heads, so that a whole fine-tuning fits afterwards if that is possible."""
        left_s = self._left_s()
        tuning_s = min(self._shortest_tuning_s(arm, self._plan.epochs) for arm in arms)
        return min(HEADS_SHARE * left_s, max(FEWEST_HEADS_SHARE * left_s, left_s - tuning_s))

    def _shortest_tuning_s(self, arm: Arm, epochs: int) -> float:
        """Fine-tuning an arm from the highest depth that is tried, with the features of all images for its head."""
        head = plain_head(arm)
        values = tuning_values(head, max(self._space.depths), self._rate, epochs, self._batch_size)
        once_s, epoch_s = self._costs.expected_tuning_s(values)
        return self._costs.features_s(head, self._all(0)) + once_s + epochs * epoch_s

    def _affordable(self, arms: list[Arm]) -> tuple[list[Arm], list[str]]:
        """Arms and policies whose features can be computed in their share of the time; one of each always."""
        left_s = FEATURES_SHARE * self._left_s()
        kept: list[Arm] = []
        for arm in arms:
            needed_s = self._costs.features_s(plain_head(arm), self._all(0))
            if not kept or needed_s <= left_s:
                kept.append(arm)
                left_s -= needed_s
        policies = [self._space.policies[0]]
        for policy in self._space.policies[1:]:
            needed_s = sum(self._view_s(arm, policy) for arm in kept)
            if needed_s <= left_s:
                policies.append(policy)
                left_s -= needed_s
        return kept, policies

    def _view_s(self, arm: Arm, policy: str) -> float:
        """What one view of all images takes beside the images themselves."""
        plain = plain_head(arm)
        seen = self._costs.features_s({**plain, "augmentation": policy}, self._all(1))
        return seen - self._costs.features_s(plain, self._all(0))

    def _search_heads(self, heads: Space, oracle: Oracle, until_s: float) -> Steps:
        stale = failures = 0
        best = self._best_score()
        while not self._exhausted and stale < PATIENCE_TRIALS and failures < FAILURES_IN_A_ROW:
            if self._heads_tried() >= (self._plan.max_trials or math.inf) or not self._time_for_a_head(until_s):
                return
            trial_id, values = self._propose(heads, oracle)
            if values is None:
                self._exhausted = True
                return
            views = 0 if values["augmentation"] == "none" else 1
            record = yield from self._try(Step("heads", values, self._all(views)))
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

    def _look_longer(self) -> Steps:
        """More views for the best heads that were trained on augmented ones."""
        leaders = [record for record in self._ranked(CACHED_FEATURES) if record.views]
        fidelity = Fidelity(MORE_VIEWS, self._plan.images, self._plan.views)
        for record in leaders[:LEADERS]:
            yield from self._try_once(Step("more_views", record.values, fidelity))

    def _merge(self) -> Steps:
        """The best heads on the best arm, all linear or all hidden, become one."""
        ranked = [record for record in self._ranked(CACHED_FEATURES, MORE_VIEWS) if "members" not in record.values]
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
        while self._may_fine_tune():
            step = next(self._tunings(), None)
            if step is None:
                return
            record = yield from self._try(step)
            for _ in range(RETRIES):
                if record.out_of_memory:
                    self._batch_size = max(1, self._batch_size // 2)
                elif record.diverged:
                    self._rate /= 3
                else:
                    break
                changed = {"batch_size": self._batch_size, "fine_tuning_rate": self._rate}
                record = yield from self._try(Step("fine_tuning", {**step.values, **changed}, step.fidelity))

    def _tunings(self) -> Iterator[Step]:
        """Fine-tunings that were not tried and fit into the time, the most promising first."""
        tried = {_tuning_key(record.values) for record in self._records if record.phase == "fine_tuning"}
        yield from self._whole_networks(tried)
        yield from self._taught(tried)
        # a shallow one that is trained long enough beats a deep one that is not
        enough, some = math.ceil(ENOUGH_EPOCHS * self._plan.epochs), min(FEWEST_EPOCHS, self._plan.epochs)
        deserving = self._deserving()
        shallow_first = sorted(deserving, key=lambda choice: -choice[1])
        for fewest, choices in ((enough, deserving), (some, shallow_first)):
            for head, depth, policy in choices:
                values = {
                    **tuning_values(head.values, depth, self._rate, 0, self._batch_size),
                    "tuning_augmentation": policy,
                }
                epochs = min(self._plan.epochs, self._epochs_that_fit(values))
                if _tuning_key(values) not in tried and epochs >= fewest:
                    step = {**values, "epochs": epochs}
                    yield Step("fine_tuning", step, Fidelity(FINE_TUNING, head.images, head.views))
        tuned = self._ranked(FINE_TUNING)
        if tuned and tuned[0].epochs >= tuned[0].values["epochs"]:  # the best had not yet stopped to gain
            values = {**tuned[0].values, "epochs": 2 * tuned[0].values["epochs"]}
            again = any(record.values == values for record in self._records)
            if not again and self._epochs_that_fit(values) >= values["epochs"]:
                yield Step("fine_tuning", values, Fidelity(FINE_TUNING, tuned[0].images, tuned[0].views))

    def _whole_networks(self, tried: set[tuple[Any, ...]]) -> Iterator[Step]:
        """Networks from scratch, on the policy that changes images most; one is trained however short the time."""
        most, rate = FROM_SCRATCH * self._plan.epochs, 2 * self._rate
        for arm in self._space.from_scratch:
            values = tuning_values(plain_head(arm), 1, rate, 0, self._batch_size)
            values["tuning_augmentation"] = self._space.policies[-1]
            epochs = min(most, self._epochs_that_fit(values))
            if not self._space.arms and not self._succeeded():
                epochs = max(1, epochs)
            if _tuning_key(values) not in tried and epochs >= (FEWEST_EPOCHS if self._space.arms else 1):
                yield Step("fine_tuning", {**values, "epochs": epochs}, Fidelity(FINE_TUNING, self._plan.images, 0))

    def _taught(self, tried: set[tuple[Any, ...]]) -> Iterator[Step]:
        """The best network as teacher of the best of each arm that costs no more, itself included."""
        untaught = [record for record in self._ranked(FINE_TUNING) if "teacher" not in record.values]
        if not self._plan.distillation or len(untaught) < TEACHER_AFTER:
            return
        best = untaught[0]
        dearest_s = self._epoch_s(best)
        students: dict[Arm, TrialRecord] = {}
        for record in untaught:
            students.setdefault(arm_of(record.values), record)
        for student in students.values():
            values = taught_values(student.values, best.values, best.views, self._plan.distillation)
            fits = self._epochs_that_fit(values) >= values["epochs"]
            if _tuning_key(values) not in tried and self._epoch_s(student) <= dearest_s and fits:
                yield Step("fine_tuning", values, Fidelity(FINE_TUNING, student.images, student.views))

    def _epoch_s(self, record: TrialRecord) -> float:
        return self._costs.expected_tuning_s({**record.values, "unfreeze_from_block": 1})[1]

    def _deserving(self) -> list[tuple[TrialRecord, int, str]]:
        """(head to start from, depth, policy) of the arms that come near the best; the first of each come first."""
        heads: dict[Arm, TrialRecord] = {}
        for record in self._ranked(CACHED_FEATURES, MORE_VIEWS):
            heads.setdefault(arm_of(record.values), record)
        best = max(((head.score or 0.0) for head in heads.values()), default=0.0)
        near = [head for head in heads.values() if (head.score or 0.0) >= best - DESERVING]
        ordered = []
        for rank, head in enumerate(near):
            own = head.values["augmentation"]
            # a network learns more from augmented images than a head does: the head's own policy comes second
            policies = sorted(
                self._space.policies, key=lambda policy: (policy == "none", policy != FIRST_POLICY, policy != own)
            )
            for place, policy in enumerate(policies):
                for step, depth in enumerate(self._space.depths):
                    ordered.append(((rank + step + place, rank, step), (head, depth, policy)))
        return [choice for _, choice in sorted(ordered, key=lambda pair: pair[0])]

    def _epochs_that_fit(self, values: Mapping[str, Any]) -> int:
        once_s, epoch_s = self._costs.tuning_s(values)
        return max(0, int((self._left_s(values) / self._tuning_pace() - once_s) / epoch_s))

    def _tuning_pace(self) -> float:
        """How much longer the last fine-tuning took than had been expected."""
        done = [r for r in self._records if r.phase == "fine_tuning" and r.score is not None and r.epochs]
        if not done:
            return 1.0
        once_s, epoch_s = self._costs.tuning_s(done[-1].values)  # its arm is known by now: nothing is probed
        return (done[-1].seconds - done[-1].features_s) / (once_s + done[-1].epochs * epoch_s)

    def _try(self, step: Step) -> Generator[Step, TrialRecord, TrialRecord]:
        record = yield step
        self._records.append(record)
        self._costs.told(record)
        return record

    def _try_once(self, step: Step) -> Steps:
        """Try a step on cached features unless it was tried before or there is no time for it."""
        tried = any(r.values == step.values and r.fidelity == step.fidelity.name for r in self._records)
        fits = self._needed_s(step.values, step.fidelity) <= self._left_s(step.values)
        if not tried and fits:
            yield from self._try(step)

    def _needed_s(self, values: Mapping[str, Any], fidelity: Fidelity) -> float:
        """A trial on cached features: what is missing of these, and fitting as long as lately (a head, or several)."""
        lately = [r.seconds - r.features_s for r in self._records if r.phase in ("screening", "heads")][-5:]
        a_head_s = SAFETY * max(lately, default=FIRST_HEAD_S)
        heads = len(values.get("members", [1])) * (1 + fidelity.views) / 2 if fidelity.views > 1 else 1.0
        return self._costs.features_s(values, fidelity) + heads * a_head_s

    def _time_for_a_head(self, until_s: float) -> bool:
        lately = [r.seconds for r in self._records if r.phase in ("screening", "heads")][-5:]
        expected_s = SAFETY * max(lately, default=FIRST_HEAD_S)
        return self._clock.now_s + expected_s <= until_s and expected_s <= self._left_s()

    def _left_s(self, values: Mapping[str, Any] | None = None) -> float:
        """Time until the later stages must begin, whoever wins: the best so far or a trial with these values."""
        named = (
            [best_of(self._records).values]
            if self._succeeded()
            else [plain_head((*self._space.arms, *self._space.from_scratch)[0])]
        )
        named += [dict(values)] if values else []
        return self._clock.budget_s - self._clock.now_s - max(self._costs.reserve_s(each) for each in named)

    def _ranked(self, *fidelities: str) -> list[TrialRecord]:
        """Trials on all images that ended well, the best first."""
        done = [r for r in self._records if r.score is not None and r.fidelity in fidelities]
        whole = [record for record in done if record.images == self._plan.images]
        return sorted(whole, key=lambda record: (-(record.score or 0.0), record.trial_id))

    def _all(self, views: int) -> Fidelity:
        return Fidelity(CACHED_FEATURES, self._plan.images, views)

    def _heads_tried(self) -> int:
        return sum(record.phase in ("screening", "heads") for record in self._records)

    def _may_fine_tune(self) -> bool:
        done = sum(record.phase == "fine_tuning" for record in self._records)
        return done < (math.inf if self._plan.max_fine_tunings is None else self._plan.max_fine_tunings)

    def _best_score(self) -> float:
        return max((record.score or 0.0 for record in self._ranked(CACHED_FEATURES, MORE_VIEWS)), default=0.0)

    def _succeeded(self) -> bool:
        return any(record.score is not None for record in self._records)

    def _why(self) -> str:
        used_up = self._heads_tried() >= (self._plan.max_trials or math.inf)
        if used_up or self._exhausted:
            what = "search.max_trials is reached" if used_up else "the oracle has nothing left to propose"
            return f"{what}, and no other fine-tuning is due or fits"
        return "its time is used"


def _tuning_key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    teacher = _tuning_key(values["teacher"]) if "teacher" in values else None
    return (arm_of(values), values["unfreeze_from_block"], values["tuning_augmentation"], teacher)
