"""Which file ships: decided by numbers alone, so no TensorFlow here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_cnn.quantize.gate import Rung, judge, over_target, paired_drop
from automl_cnn.quantize.images import LabelledImages
from automl_cnn.quantize.ladder import Yardstick, intervals_of_drops
from automl_cnn.train.objective import objective_score

NOTHING_SHOWN = (-0.01, 0.012)  # an interval around zero


def rated(rung: Rung, accuracy: float, drop: tuple[float, float] = NOTHING_SHOWN, **changes: Any) -> Rung:
    """By accuracy alone."""
    same = {"val_score": accuracy, "val_score_drop_ci95": drop}
    return replace(rung, **{"val_accuracy": accuracy, "val_drop_ci95": drop, **same, **changes})


FLOAT32 = rated(
    Rung("float32", "float32.tflite", None, 0.30, None, 1.0, 13_000_000, 20.0, 70, 1), 0.900, (-0.001, 0.001)
)
FLOAT16 = rated(
    Rung("float16", "float16.tflite", None, 0.30, None, 1.0, 6_700_000, 20.0, 70, 1), 0.900, (-0.001, 0.001)
)
PTQ = rated(Rung("ptq_int8", "ptq_int8.tflite", None, 0.31, None, 0.99, 3_960_000, 15.0, 0, 1), 0.899, NOTHING_SHOWN)
QAT = rated(Rung("qat_int8", "qat_int8.tflite", None, 0.31, None, 0.99, 3_970_000, 15.0, 0, 1), 0.899, NOTHING_SHOWN)


def shipped(*rungs: Rung, max_drop: float = 0.003) -> Rung:
    (winner,) = (rung for rung in judge(rungs, max_drop) if rung.shipped)
    return winner


def test_an_int8_file_that_is_shown_to_lose_more_than_max_drop_does_not_ship() -> None:
    bad = rated(QAT, 0.880, (0.008, 0.032))
    judged = judge([FLOAT32, FLOAT16, bad, rated(PTQ, 0.870, (0.01, 0.05))], 0.003)
    assert [rung.rung for rung in judged if rung.shipped] == ["float16"]
    assert "loses 0.0200 of validation accuracy (95 % interval 0.0080 to 0.0320)" in judged[2].reason
    assert judged[2].reason in judged[1].reason, "float16 says why it had to step in"


def test_a_loss_that_can_be_chance_is_not_called_a_loss() -> None:
    assert shipped(FLOAT32, FLOAT16, rated(QAT, 0.890, (-0.004, 0.024))).rung == "qat_int8"


def test_four_images_lost_of_four_hundred_can_be_chance_and_forty_of_four_thousand_cannot() -> None:
    reference = np.ones(400, np.bool_)
    flipped = np.arange(400) >= 4
    low, high = paired_drop(reference, flipped)
    assert low < 0.003 < high
    low, _ = paired_drop(np.tile(reference, 10), np.tile(flipped, 10))
    assert low > 0.003


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300))
def test_the_paired_interval_holds_the_difference_and_turns_with_the_sides(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(side, np.bool_) for side in zip(*pairs, strict=True))
    low, high = paired_drop(first, second)
    assert -1 <= low <= first.mean() - second.mean() + 1e-9
    assert high >= first.mean() - second.mean() - 1e-9
    assert paired_drop(second, first) == pytest.approx((-high, -low))


def test_the_more_accurate_int8_file_ships_whatever_its_name() -> None:
    assert shipped(FLOAT32, FLOAT16, rated(PTQ, 0.901), QAT).rung == "ptq_int8"
    assert shipped(FLOAT32, FLOAT16, PTQ, rated(QAT, 0.901)).rung == "qat_int8"


def test_equal_accuracy_is_settled_by_log_loss_then_by_size() -> None:
    assert shipped(FLOAT32, FLOAT16, PTQ, replace(QAT, val_log_loss=0.29)).rung == "qat_int8"
    assert shipped(FLOAT32, FLOAT16, PTQ, QAT).rung == "ptq_int8"


def test_a_file_with_a_float_tensor_is_not_shipped_as_int8() -> None:
    judged = judge([FLOAT32, FLOAT16, rated(QAT, 0.95, float_tensors=2)], 0.003)
    assert judged[1].shipped
    assert "2 float tensors" in judged[2].reason


def test_float32_ships_when_nothing_else_could_be_made() -> None:
    failed = [Rung(name, error="the converter refuses") for name in ("float16", "ptq_int8", "qat_int8")]
    judged = judge([FLOAT32, *failed], 0.003)
    assert judged[0].shipped
    assert "the converter refuses" in judged[0].reason
    assert "the converter refuses" in judged[3].reason


@given(
    lows=st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=2),
    float_tensors=st.lists(st.sampled_from([0, 0, 3]), min_size=2, max_size=2),
    max_drop=st.floats(0, 0.2),
)
def test_exactly_one_file_ships_and_never_an_int8_one_beyond_the_gate(
    lows: list[float], float_tensors: list[int], max_drop: float
) -> None:
    int8 = [
        rated(rung, 0.9 - low, (low, low + 0.02), float_tensors=count)
        for rung, low, count in zip((PTQ, QAT), lows, float_tensors, strict=True)
    ]
    judged = judge([FLOAT32, FLOAT16, *int8], max_drop)
    (winner,) = (rung for rung in judged if rung.shipped)
    assert all(rung.reason for rung in judged)
    if winner.rung.endswith("int8"):
        assert winner.val_drop_ci95 is not None
        assert winner.val_drop_ci95[0] <= max_drop + 1e-9
        assert winner.float_tensors == 0
    else:
        assert winner.rung == "float16"


def test_where_no_strict_file_passes_the_cheapest_fallback_that_does_ships_and_says_what_was_refused() -> None:
    bad = [rated(rung, 0.8, (0.08, 0.12)) for rung in (PTQ, QAT)]
    head = replace(QAT, rung="qat_float_head", path="qat_float_head.tflite", float_tensors=4)
    weights = replace(QAT, rung="weight_only_int8", path="weight_only_int8.tflite", float_tensors=60)
    winner = shipped(FLOAT32, FLOAT16, *bad, head, weights)
    assert winner.rung == "qat_float_head"
    assert "ptq_int8 loses" in winner.reason
    assert shipped(FLOAT32, FLOAT16, *bad, rated(head, 0.85, (0.05, 0.09)), weights).rung == weights.rung
    lost = [rated(rung, 0.85, (0.05, 0.09)) for rung in (head, weights)]
    assert shipped(FLOAT32, FLOAT16, *bad, *lost).rung == "float16"
    assert shipped(FLOAT32, FLOAT16, PTQ, rated(head, 0.95)).rung == "ptq_int8"


def test_a_file_that_loses_what_the_search_maximized_is_refused_though_its_accuracy_rose() -> None:
    sought = {"objective": "balanced_accuracy", "val_score": 0.70, "val_score_drop_ci95": (-0.01, 0.01)}
    by_classes = [replace(rung, **sought) for rung in (FLOAT32, FLOAT16, PTQ)]
    rare_lost = rated(QAT, 0.93, (-0.05, -0.01), **sought | {"val_score": 0.60, "val_score_drop_ci95": (0.04, 0.16)})
    judged = judge([*by_classes, rare_lost], 0.003)
    assert [rung.rung for rung in judged if rung.shipped] == ["ptq_int8"]
    assert "loses 0.1000 of validation balanced accuracy (95 % interval 0.0400 to 0.1600)" in judged[3].reason


def test_of_files_that_pass_the_one_with_more_of_the_objective_ships() -> None:
    sought = {"objective": "macro_f1", "val_score_drop_ci95": (-0.05, 0.05)}
    floats = [replace(rung, val_score=0.8, **sought) for rung in (FLOAT32, FLOAT16)]
    accurate, fair = rated(PTQ, 0.92, val_score=0.78, **sought), rated(QAT, 0.90, val_score=0.80, **sought)
    assert next(rung for rung in judge([*floats, accurate, fair], 0.003) if rung.shipped).rung == "qat_int8"


def test_a_float16_file_that_could_not_be_measured_does_not_ship() -> None:
    lost = [rated(QAT, 0.5, (0.3, 0.5)), rated(PTQ, 0.5, (0.3, 0.5))]
    assert shipped(FLOAT32, Rung("float16", error="NaN or infinity"), *lost).rung == "float32"
    assert shipped(FLOAT32, rated(FLOAT16, 0.5, (0.3, 0.5)), *lost).rung == "float32"


def yardstick(labels: np.ndarray, objective: str, groups: np.ndarray | None = None) -> Yardstick:
    return Yardstick(LabelledImages(np.zeros((len(labels), 1, 1, 3), np.uint8), labels), list("abc"), objective, groups)


def certain(answers: np.ndarray) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[answers]


def test_ten_images_of_one_patient_are_one_loss_and_not_ten() -> None:
    labels = np.tile([0, 1], 200)
    answers = np.where(np.arange(400) < 10, 1 - labels, labels)
    of_images, of_patients = (
        intervals_of_drops(yardstick(labels, "accuracy", groups), certain(labels), certain(answers))["accuracy"]
        for groups in (None, np.arange(400) // 10)
    )
    assert of_images[0] > 0.003
    assert of_patients[0] <= 0.003


@pytest.mark.parametrize("objective", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_the_interval_of_a_loss_holds_it_also_where_a_class_has_no_validation_image(objective: str) -> None:
    labels = np.repeat([0, 1], 50)
    answers = np.where(np.arange(100) < 4, 2, labels)
    low, high = intervals_of_drops(yardstick(labels, objective), certain(labels), certain(answers))[objective]
    assert low <= 1.0 - objective_score(objective, labels, certain(answers)) <= high


def test_a_file_that_costs_more_than_was_allowed_is_told() -> None:
    dear = replace(FLOAT16, latency_ms=21.4)
    assert (
        over_target(dear, 20.0, 4.0) == "21.40 is over target.max_latency_ms 20 and 6.70 is over target.max_size_mb 4"
    )
    assert over_target(dear, None, None) == over_target(dear, 25.0, 7.0) == ""


def test_what_too_few_images_cannot_rule_out_is_said() -> None:
    assert "too few validation images to rule out a loss of 0.0120 in accuracy" in shipped(FLOAT32, FLOAT16, QAT).reason
    assert "too few" not in shipped(FLOAT32, FLOAT16, rated(QAT, 0.91, (-0.02, 0.002))).reason
