"""The budget's arithmetic: what is kept for the later stages, how many steps fit, how a promise corrects the next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_cnn.search.budget import (
    STAGES,
    WORST_CORRECTION,
    Pace,
    Work,
    corrections_of,
    reserve,
    steps_within,
    tuning_seconds,
)  # fmt: skip

PACE = Pace(import_s=10.0, image_s=0.004, latency_s=0.007)
WORK = Work(training=1837, validation=394, test=393, calibration=256, batch_size=32)


@given(left_s=st.floats(-1000, 5000), most=st.integers(0, 1000))
def test_steps_of_quantization_never_take_more_than_is_left(left_s: float, most: int) -> None:
    reserved = reserve(PACE, WORK)
    steps = steps_within(left_s, reserved, most)
    assert 0 <= steps <= most
    assert steps == 0 or reserved.total_s(steps) <= left_s
    assert steps == most or reserved.total_s(steps + 1) > left_s


def test_a_slower_network_and_more_images_need_more_time() -> None:
    base = reserve(PACE, WORK).total_s(40)
    assert reserve(Pace(10.0, 0.008, 0.014), WORK).total_s(40) > base
    assert reserve(PACE, Work(1837, 4000, 393, 256, 32)).total_s(40) > base
    assert reserve(Pace(20.0, 0.004, 0.007), WORK).total_s(40) > base


@pytest.mark.parametrize("deeper", range(1, 8))
def test_fine_tuning_from_further_down_takes_longer(deeper: int) -> None:
    assert tuning_seconds(PACE, 1837, 394, deeper)[1] > tuning_seconds(PACE, 1837, 394, deeper + 1)[1]


def test_a_promise_that_was_broken_corrects_the_next_one() -> None:
    promised = {"search": 100.0, "train": 20.0, "quantize": 50.0, "evaluate": 10.0}
    first = corrections_of(promised, {"train": 30.0, "quantize": 25.0}, {})
    assert first == {"train": 1.5, "quantize": 0.5}
    assert reserve(PACE, WORK, first).train_s == pytest.approx(1.5 * reserve(PACE, WORK).train_s)
    # the second promise was right: nothing changes
    assert corrections_of({"train": 30.0}, {"train": 30.0}, first) == first


@given(st.dictionaries(st.sampled_from(STAGES), st.floats(0.001, 1e6)), st.floats(0.001, 1e6))
def test_one_odd_run_does_not_spoil_all_later_promises(actual: dict[str, float], promised_s: float) -> None:
    found = corrections_of(dict.fromkeys(STAGES, promised_s), actual, {})
    assert all(1 / WORST_CORRECTION <= factor <= WORST_CORRECTION for factor in found.values())
