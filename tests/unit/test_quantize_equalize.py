"""By what a channel may be scaled: never above the highest of its layer, and dead ones not at all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from automl_cnn.quantize.equalize import HEADROOM, LARGEST_FACTOR, channel_factors

PEAKS = arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 6, width=32))


@given(PEAKS, st.sampled_from([6.0, np.inf]))
def test_no_channel_rises_above_the_highest_nor_by_more_than_the_largest_factor(
    highest: np.ndarray, ceiling: float
) -> None:
    factors = channel_factors(highest, ceiling)
    assert (factors >= 1).all()
    assert (factors <= LARGEST_FACTOR).all()
    assert (factors * highest <= highest.max() * 1.0001).all()
    assert (factors[highest == 0] == 1).all()


def test_no_channel_is_raised_over_the_ceiling_of_a_relu() -> None:
    # the mean of another tensor of the group reaches 9, the ReLU cuts at 6
    factors = channel_factors(np.array([9.0, 2.0, 5.0], np.float32), 6.0)
    np.testing.assert_allclose(factors, [1, 3 / HEADROOM, 1])


def test_what_is_low_is_raised_to_just_below_the_highest() -> None:
    factors = channel_factors(np.array([6.0, 3.0, 0.01, 0.0], np.float32))
    np.testing.assert_allclose(factors, [1, 2 / HEADROOM, LARGEST_FACTOR, 1])
