"""The search benchmark: clocks end, scores are counted when they are known, grown sets are sound."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from growth_images import cut_classes, grow_images
from search_course import Course, kept_course, run_course
from search_ours import Trials

# a side: it begins a child, tells two scores and never ends
SIDE = """
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1] + ".child", "w").write(str(child.pid))
for accuracy in (0.5, 0.7):
    open(sys.argv[1], "a").write(json.dumps({"time": time.time(), "accuracy": accuracy, "epoch": 1}) + "\\n")
time.sleep(60)
"""


def test_reaching_a_mark_is_the_first_time_and_a_mark_never_reached_is_none() -> None:
    course = Course("ours", ((1.0, 0.5, ""), (2.0, 0.8, ""), (3.0, 0.6, ""), (4.0, 0.8, "")), 5.0, "clock")
    assert course.reached(0.8) == 2.0
    assert course.reached(0.9) is None
    assert course.best_at(1.5) == 0.5
    assert course.best_at(4.0) == course.best == 0.8


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Course]:
    """The folder of a side that would run for a minute and had two seconds, and its course."""
    folder = tmp_path_factory.mktemp("side")
    events = folder / "events.jsonl"
    command = [sys.executable, "-c", SIDE, str(events)]
    return folder, run_course("side", command, folder, 2 / 60, events, ["one"])


def test_the_clock_ends_a_side_and_its_scores_have_times_within_it(ended: tuple[Path, Course]) -> None:
    _, course = ended
    assert course.ended == "clock"
    assert [accuracy for _, accuracy, _ in course.points] == [0.5, 0.7]
    assert all(0 < at < 2.5 for at, _, _ in course.points)


def test_the_clock_ends_what_a_side_has_started_too(ended: tuple[Path, Course]) -> None:
    status = Path("/proc") / (ended[0] / "events.jsonl.child").read_text() / "stat"
    deadline = time.monotonic() + 5
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_finished_course_is_kept_for_the_same_settings_and_for_no_others(ended: tuple[Path, Course]) -> None:
    folder, course = ended
    assert kept_course(folder, ["one"]) == course
    assert kept_course(folder, ["another"]) is None


def test_a_side_that_fails_is_recorded_with_what_it_printed_last(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no such layer'); sys.exit(3)"]
    course = run_course("side", command, tmp_path, 1, tmp_path / "events.jsonl", [])
    assert course.ended == "failed: no such layer"
    assert np.isnan(course.best)


def test_a_trial_is_counted_once_and_only_when_its_line_is_whole(tmp_path: Path) -> None:
    log, trials = tmp_path / "study.jsonl", Trials(tmp_path)
    log.write_text('{"accuracy": 0.5}\n{"accuracy"')
    assert trials.new() == [{"accuracy": 0.5}]
    log.write_text('{"accuracy": 0.5}\n{"accuracy": 0.6}\n')
    assert trials.new() == [{"accuracy": 0.6}]
    assert trials.new() == []


@pytest.fixture
def grown(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame, Path]:
    """Four real images grown to seven, then to eleven."""
    rng = np.random.default_rng(1)
    for number in range(4):
        pixels = rng.integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.jpg")
    listed = pd.DataFrame({"path": [f"{number}.jpg" for number in range(4)], "label": [*"aabb"], "group": [*"ppqq"]})
    folder = tmp_path / "grown"
    return grow_images(listed, tmp_path, folder, 7), grow_images(listed, tmp_path, folder, 11), folder


def test_a_grown_set_holds_the_smaller_one_and_no_two_of_its_images_are_equal(
    grown: tuple[pd.DataFrame, pd.DataFrame, Path],
) -> None:
    smaller, larger, folder = grown
    pd.testing.assert_frame_equal(smaller, larger[:7])
    assert len({(folder / path).read_bytes() for path in larger["path"]}) == 11
    assert larger["group"].nunique() == 6


def test_classes_are_cut_into_equal_pieces(grown: tuple[pd.DataFrame, pd.DataFrame, Path]) -> None:
    _, larger, folder = grown
    cut = cut_classes(larger, folder, 2)
    assert cut["label"].nunique() == 4
    assert cut["label"].value_counts().max() <= 3
    assert (cut["label"].str[0] == larger["label"]).all()
