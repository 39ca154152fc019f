"""Which fine-tuning is worth its time: networks from scratch, pupils of the best, and the heads that deserve it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from automl_cnn.search.space import Arm, arm_of, plain_head, taught_values
from automl_cnn.search.standing import Standing
from automl_cnn.search.trial import CACHED_FEATURES, FINE_TUNING, MORE_VIEWS, Fidelity
from automl_cnn.search.trial_log import Step, TrialRecord, best_of

DESERVING = 0.05  # an arm whose best head scores this much less than the best of all is not fine-tuned
FIRST_POLICY = "crop"  # of a fine-tuning, where it may be used
FEWEST_EPOCHS = 3  # a shorter fine-tuning is not begun
ENOUGH_EPOCHS = 2 / 3  # of those planned; depths that leave time for fewer come last
TEACHER_AFTER = 2  # fine-tunings: the best of them is worth listening to
FROM_SCRATCH = 4  # times the epochs of a fine-tuning, at twice the rate

_Key = tuple[Any, ...]


def due_tunings(standing: Standing) -> Iterator[Step]:
    """Fine-tunings that were not tried and fit into the time, the most promising first."""
    tried = {_key(record.values) for record in standing.records if record.phase == "fine_tuning"}
    yield from _whole_networks(standing, tried)
    yield from _taught(standing, tried)
    yield from _from_heads(standing, tried)
    yield from _longer(standing)


def _whole_networks(standing: Standing, tried: set[_Key]) -> Iterator[Step]:
    """Networks from scratch, on the policy that changes images most; one is trained however short the time."""
    space, plan = standing.space, standing.plan
    most, rate = FROM_SCRATCH * plan.epochs, 2 * standing.rate
    for arm in space.from_scratch:
        values = standing.tuning_values(plain_head(arm), 1, 0, rate)
        values["tuning_augmentation"] = space.policies[-1]
        epochs = min(most, standing.epochs_that_fit(values))
        if not space.arms and not standing.succeeded():
            epochs = max(1, epochs)
        if _key(values) not in tried and epochs >= (FEWEST_EPOCHS if space.arms else 1):
            yield Step("fine_tuning", {**values, "epochs": epochs}, Fidelity(FINE_TUNING, plan.images, 0))


def _taught(standing: Standing, tried: set[_Key]) -> Iterator[Step]:
    """The best network as teacher of the best of each arm that costs no more, itself included."""
    untaught = [record for record in standing.ranked(FINE_TUNING) if "teacher" not in record.values]
    if not standing.plan.distillation or len(untaught) < TEACHER_AFTER:
        return
    best = best_of(untaught)
    students: dict[Arm, TrialRecord] = {}
    for record in untaught:
        students.setdefault(arm_of(record.values), record)
    for student in students.values():
        values = taught_values(student.values, best.delivered_values, best.views, standing.plan.distillation)
        fits = standing.epochs_that_fit(values) >= values["epochs"]
        if _key(values) not in tried and _epoch_s(standing, student) <= _epoch_s(standing, best) and fits:
            yield Step("fine_tuning", values, Fidelity(FINE_TUNING, student.images, student.views))


def _from_heads(standing: Standing, tried: set[_Key]) -> Iterator[Step]:
    """The best heads, with enough epochs where time allows it: shallow and long beats deep and short."""
    plan = standing.plan
    enough, some = math.ceil(ENOUGH_EPOCHS * plan.epochs), min(FEWEST_EPOCHS, plan.epochs)
    deserving = _deserving(standing)
    shallow_first = sorted(deserving, key=lambda choice: -choice[1])
    for fewest, choices in ((enough, deserving), (some, shallow_first)):
        for head, depth, policy in choices:
            values = standing.tuning_values(head.values, depth, 0)
            values["tuning_augmentation"] = policy
            epochs = min(plan.epochs, standing.epochs_that_fit(values))
            if _key(values) not in tried and epochs >= fewest:
                yield Step("fine_tuning", {**values, "epochs": epochs}, Fidelity(FINE_TUNING, head.images, head.views))


def _longer(standing: Standing) -> Iterator[Step]:
    """The best once more with twice the epochs, if it had not yet stopped to gain."""
    tuned = standing.ranked(FINE_TUNING)
    if tuned and tuned[0].epochs >= (last := tuned[0].delivered_values["epochs"]):
        values = {**tuned[0].values, "epochs": 2 * last}
        again = any(record.values == values for record in standing.records)
        if not again and standing.epochs_that_fit(values) >= values["epochs"]:
            yield Step("fine_tuning", values, Fidelity(FINE_TUNING, tuned[0].images, tuned[0].views))


def _deserving(standing: Standing) -> list[tuple[TrialRecord, int, str]]:
    """(head to start from, depth, policy) of the arms that come near the best; the first of each come first."""
    space = standing.space
    heads: dict[Arm, TrialRecord] = {}
    for record in standing.ranked(CACHED_FEATURES, MORE_VIEWS):
        heads.setdefault(arm_of(record.values), record)
    near = [head for head in heads.values() if (head.score or 0.0) >= standing.best_head_score() - DESERVING]
    ordered = []
    for rank, head in enumerate(near):
        own = head.values["augmentation"]
        # a network learns more from augmented images than a head does: the head's own policy comes second
        policies = sorted(space.policies, key=lambda policy: (policy == "none", policy != FIRST_POLICY, policy != own))
        for place, policy in enumerate(policies):
            for step, depth in enumerate(space.depths):
                ordered.append(((rank + step + place, rank, step), (head, depth, policy)))
    return [choice for _, choice in sorted(ordered, key=lambda pair: pair[0])]


def _epoch_s(standing: Standing, record: TrialRecord) -> float:
    return standing.costs.expected_tuning_s({**record.values, "unfreeze_from_block": 1})[1]


def _key(values: Mapping[str, Any]) -> _Key:
    teacher = _key(values["teacher"]) if "teacher" in values else None
    return (arm_of(values), values["unfreeze_from_block"], values["tuning_augmentation"], teacher)
