"""Accuracy, latency and size: who is on the frontier, which networks are compared, what a part of the images is."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from automl_cnn.search.arms import thin_out
from automl_cnn.search.frontier import ArmCost, Target, frontier, undominated
from automl_cnn.search.space import Arm, head_space, plain_head
from automl_cnn.search.trial_log import TrialRecord
from automl_cnn.train.material import Side

SMALL, LARGE = Arm("mobilenetv2-0.35", 160), Arm("efficientnet-lite2", 224)
COSTS = {SMALL: ArmCost(2.0, 0.6), LARGE: ArmCost(14.0, 6.0)}
POINTS = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=30)


def record(
    number: int, arm: Arm, score: float | None, fidelity: str = "cached_features", images: int = 100
) -> TrialRecord:
    status = "failed" if score is None else "completed"
    return TrialRecord(
        number, status, "heads", "cached_features", images, 0, plain_head(arm), score, score, 9, 1.0, 0.0, 9.0
    )


@given(POINTS)
def test_whoever_is_not_on_the_frontier_is_beaten_by_one_who_is(points: list[tuple[int, int, int]]) -> None:
    marked = undominated(points)
    kept = [point for point, on_frontier in zip(points, marked, strict=True) if on_frontier]
    assert kept
    for point, on_frontier in zip(points, marked, strict=True):
        beaten = any(other != point and all(o >= p for o, p in zip(other, point, strict=True)) for other in kept)
        assert beaten != on_frontier


def test_a_less_accurate_network_stays_on_the_frontier_where_it_is_faster() -> None:
    rows = frontier([record(0, SMALL, 0.80), record(1, LARGE, 0.90)], COSTS, Target(max_latency_ms=5.0), 100)
    assert [(row["backbone"], row["on_frontier"], row["within_target"]) for row in rows] == [
        ("efficientnet-lite2", True, False), ("mobilenetv2-0.35", True, True),
    ]  # fmt: skip


def test_the_frontier_leaves_out_failures_and_scores_on_a_part_of_the_images() -> None:
    records = [record(0, SMALL, 0.99, images=40), record(1, SMALL, None), record(2, SMALL, 0.8), record(3, SMALL, 0.7)]
    assert [row["trial_id"] for row in frontier(records, COSTS, Target(), 100)] == [2]


@given(st.integers(1, 40), st.integers(1, 12))
def test_thinned_arms_span_the_costs(count: int, most: int) -> None:
    arms = [Arm(f"network-{number}", 160) for number in range(count)]
    kept = thin_out(arms, most)
    assert len(kept) == len(set(kept)) == min(count, most)
    assert kept[0] == arms[0]
    assert most == 1 or kept[-1] == arms[-1]


@given(st.lists(st.integers(0, 3), min_size=8, max_size=200), st.integers(1, 9))
def test_a_part_of_the_images_keeps_the_classes_and_lies_within_a_larger_part(labels: list[int], seed: int) -> None:
    side = Side(np.arange(len(labels)) + 7, np.array(labels))
    small, large = side.part(len(labels) // 2, seed), side.part(len(labels) * 3 // 4, seed)
    assert set(small.rows.tolist()) <= set(large.rows.tolist())
    counts = Counter(labels)
    for label, found in Counter(small.labels.tolist()).items():
        assert abs(found - counts[label] / 2) <= 2
    assert len(small.rows) == len(labels) // 2


def test_a_trials_values_and_the_oracles_point_are_two_names_of_one_thing() -> None:
    space = head_space([SMALL, LARGE], ["none", "flip"])
    point = space.defaults()
    assert space.point(space.values(point)) == point
    assert space.point({**space.values(point), "backbone": "another"}) is None
