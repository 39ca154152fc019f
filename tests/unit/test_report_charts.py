"""The report's charts and words hold for whatever numbers a run gives."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.report.charts import accuracy_strip, epochs_chart, reliability_chart, standalone, trials_chart
from automl_cnn.report.wording import duration, file_size, listed, percent_range, points

shares = st.floats(0, 1)
quickly = settings(max_examples=25, deadline=None)
NUMBER = re.compile(r' (?:cx|cy|x1|x2|y1|y2|x|y)="([^"]+)"')


def assert_drawn_inside(svg: str) -> None:
    """Well-formed, and no number is outside the picture, infinite or not a number."""
    root = ElementTree.fromstring(standalone(svg))
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    for text in NUMBER.findall(svg):
        assert 0 <= float(text) <= max(width, height)
    assert "nan" not in svg
    assert "inf" not in svg


@quickly
@given(st.lists(shares, min_size=1, max_size=60))
def test_trials_are_drawn_whatever_they_scored(scores: list[float]) -> None:
    svg = trials_chart(list(enumerate(scores)), "macro F1")
    assert_drawn_inside(svg)
    assert svg.count("<circle") == len(scores)


@quickly
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30))
def test_epochs_are_drawn_whatever_the_loss(losses: list[float]) -> None:
    assert_drawn_inside(epochs_chart(list(range(len(losses))), losses, "training loss", 0))


@quickly
@given(st.lists(st.tuples(shares, shares, st.integers(1, 10_000)), min_size=1, max_size=15))
def test_calibration_is_drawn_whatever_the_bins_hold(bins: list[tuple[float, float, int]]) -> None:
    assert_drawn_inside(reliability_chart(bins))


@quickly
@given(shares, shares, shares, shares, shares)
def test_accuracy_is_drawn_with_any_interval(at: float, low: float, high: float, one: float, other: float) -> None:
    assert_drawn_inside(accuracy_strip(at, sorted([low, high]), [("guessing", one), ("float model", other)]))


def test_names_in_charts_are_escaped() -> None:
    assert "<b>" not in trials_chart([(0, 0.5)], "<b>")


def test_differences_bear_their_sign_and_never_minus_zero() -> None:
    assert [points(x) for x in (-0.0041, 0.01, -0.0001)] == ["−0.4", "+1.0", "±0.0"]


def test_sizes_times_and_ranges_are_said_with_their_units() -> None:
    assert file_size(3_480_000) == "3.48\u00a0MB"
    said = [duration(seconds).replace("\u00a0", " ") for seconds in (1.25, 59.6, 95.4, 7260)]
    assert said == ["1.2 s", "1 min 00 s", "1 min 35 s", "2 h 01 min"]
    assert percent_range((0.85, 0.893)) == "85.0 to 89.3\u00a0%"


def test_long_lists_of_classes_are_cut() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d"], most=2) == "a, b and 2 more"
