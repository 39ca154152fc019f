"""The report's charts and words hold for whatever numbers a run gives."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.report.charts.curves import ClassCurve, curves_chart
from automl_cnn.report.charts.learning import LearningLine, learning_chart
from automl_cnn.report.charts.parallel import TrialLine, parallel_chart
from automl_cnn.report.charts.plot import axis, standalone
from automl_cnn.report.charts.scores import accuracy_strip, reliability_chart
from automl_cnn.report.charts.search import CostPoint, frontier_chart, trials_chart
from automl_cnn.report.charts.training import epochs_chart
from automl_cnn.report.wording import duration, file_size, listed, percent_range, points, tame

shares = st.floats(0, 1)
quickly = settings(max_examples=25, deadline=None)
settings_of_trials = st.one_of(
    st.none(), st.integers(0, 512), st.floats(1e-6, 10), st.sampled_from(["none", "<b>", 'a "b" & c', "x" * 60])
)
POINTS = re.compile(r' points="([^"]+)"')
NUMBER = re.compile(r' (?:cx|cy|x1|x2|y1|y2|x|y)="([^"]+)"')


def assert_drawn_inside(svg: str) -> None:
    """Well-formed, and no number is outside the picture, infinite or not a number."""
    root = ElementTree.fromstring(standalone(svg))
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    places = [float(text) for text in NUMBER.findall(svg)]
    places += [float(text) for points in POINTS.findall(svg) for text in re.split("[ ,]", points)]
    for place in places:
        assert 0 <= place <= max(width, height)  # neither infinite nor no number


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


@quickly
@given(st.lists(st.tuples(settings_of_trials, settings_of_trials, shares), min_size=2, max_size=40))
def test_trials_have_their_line_over_whatever_hyperparameters(trials: list[tuple[object, object, float]]) -> None:
    lines = [TrialLine(i, {"first": a, "second": b}, score, i % 2 == 0) for i, (a, b, score) in enumerate(trials)]
    svg = parallel_chart(lines, ["first", "second"], "macro F1", 1)
    assert_drawn_inside(svg)
    assert svg.count('class="mark"') == len(lines)
    assert svg.count("(the winner)") == 1
    assert "<b>" not in svg


@quickly
@given(st.lists(st.tuples(st.floats(0.01, 1e4), shares, st.booleans()), min_size=1, max_size=20), st.floats(0.1, 1e3))
def test_cost_is_drawn_with_and_without_a_limit(networks: list[tuple[float, float, bool]], limit: float) -> None:
    points = [
        CostPoint(f"net {i}", cost, score, "ships" if best else "") for i, (cost, score, best) in enumerate(networks)
    ]
    for allowed in (None, limit):
        assert_drawn_inside(frontier_chart(points, "macro F1", "latency, ms", allowed))


def test_the_line_of_the_frontier_joins_only_what_no_cheaper_network_beats() -> None:
    points = [CostPoint("a", 1, 0.5), CostPoint("b", 2, 0.4), CostPoint("c", 3, 0.9)]
    line = POINTS.findall(frontier_chart(points, "accuracy", "size, MB"))[0].split(" ")
    assert len(line) == 3  # a, the step under c, c


@quickly
@given(st.lists(st.tuples(shares, shares, st.one_of(shares, st.just(float("nan")))), min_size=2, max_size=200))
def test_curves_are_drawn_whatever_their_points(points: list[tuple[float, float, float]]) -> None:
    curves = [ClassCurve(name, tuple(points), area) for name, area in (("a <b>", 0.5), ("c", None))]
    for kind in ("roc", "precision_recall"):
        svg = curves_chart(curves, kind)
        assert_drawn_inside(svg)
        assert "<b>" not in svg


@quickly
@given(st.lists(st.tuples(st.integers(0, 10**6), shares, shares, shares), min_size=2, max_size=8))
def test_learning_is_drawn_whatever_was_learned(points: list[tuple[int, float, float, float]]) -> None:
    line = LearningLine("a", tuple((n, *sorted((a, b, c))[1:2], min(a, b, c), max(a, b, c)) for n, a, b, c in points))
    assert_drawn_inside(learning_chart([line], "accuracy"))
    assert_drawn_inside(learning_chart([line] * 8, "accuracy"))


@quickly
@given(st.floats(1e-6, 1e6), st.floats(1, 1e9))
def test_a_logarithmic_axis_has_ticks_in_order_within_its_ends(low: float, factor: float) -> None:
    found = axis("images", [low, low * factor], log=True, padding=0.04)
    assert list(found.ticks) == sorted(set(found.ticks))
    assert all(found.low <= tick <= found.high for tick in found.ticks)
    assert len(found.ticks) <= 8


def test_names_in_charts_are_escaped() -> None:
    assert "<b>" not in trials_chart([(0, 0.5)], "<b>")


def test_a_name_with_control_characters_leaves_a_chart_well_formed() -> None:
    assert_drawn_inside(trials_chart([(0, 0.5)], "a\x00b\u202ec"))


def test_a_name_cannot_turn_the_direction_of_the_words_after_it_but_keeps_its_letters() -> None:
    assert tame("\u202egnp.exe") == "\ufffdgnp.exe"
    assert tame("שלום 猫 é\u200d") == "שלום 猫 é\u200d"


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
