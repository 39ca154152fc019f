"""Weak slices are found, strong words are kept for what chance does not explain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from automl_cnn.evaluate.slices import LEAST_IMAGES, find_weak_slices

N = 400


def _find(
    hit: NDArray[np.bool_], facts: dict[str, Any], columns: list[str], groups: NDArray[np.object_] | None = None
) -> dict[str, Any]:
    names = np.arange(len(hit)).astype(str).astype(object) if groups is None else groups
    table = pd.DataFrame(facts)
    return find_weak_slices(hit, np.zeros(len(hit), int), names, table.drop(columns=columns), table[columns])


def _named(found: dict[str, Any], value: str) -> dict[str, Any]:
    return next(one for one in found["slices"] if one["value"] == value)


def test_a_camera_on_which_half_the_answers_are_wrong_is_a_weak_slice_and_no_other_is() -> None:
    camera = np.array(["old"] * 60 + ["new"] * 340, dtype=object)
    hit = np.ones(N, bool)
    hit[:30] = hit[100:120] = False
    found = _find(hit, {"camera": camera, "site": np.tile(["north", "south"], 200)}, ["site"])
    assert [one["value"] for one in found["slices"] if one["weak"]] == ["old"]
    old = _named(found, "old")
    assert (old["images"], old["accuracy"], old["rest_accuracy"]) == (60, 0.5, pytest.approx(320 / 340))
    assert old["accuracy_ci95"] == pytest.approx(stats.binomtest(30, 60).proportion_ci(method="wilson"))
    assert old["difference_ci95"][1] < 0
    assert found["slices"][0] == old


def test_numbers_are_cut_into_quantiles_and_texts_are_not() -> None:
    age = [str(i % 80) for i in range(N)]
    found = _find(np.arange(N) % 5 > 0, {"age": age, "ward": ["a", "b"] * 200}, ["age", "ward"])
    assert [(one["low"], one["high"]) for one in found["slices"] if one["name"] == "age"] != []
    assert sum(one["images"] for one in found["slices"] if one["name"] == "age") == N
    assert {one["value"] for one in found["slices"] if one["name"] == "ward"} == {"a", "b"}


def test_a_column_that_names_every_image_and_one_of_one_value_are_no_slices() -> None:
    names = [f"file {i}" for i in range(N)]
    assert _find(np.ones(N, bool), {"name": names, "same": ["x"] * N}, ["name", "same"])["slices"] == []


def test_few_images_are_no_slice() -> None:
    rare = ["rare"] * (LEAST_IMAGES - 1) + ["usual"] * (N - LEAST_IMAGES + 1)
    assert _find(np.ones(N, bool), {"kind": rare}, ["kind"])["slices"] == []


def test_missing_values_are_a_slice_of_their_own() -> None:
    found = _find(np.ones(N, bool), {"site": [""] * 100 + ["north"] * 300}, ["site"])
    assert _named(found, "")["images"] == 100


def test_forty_photos_of_one_patient_weigh_less_than_forty_patients() -> None:
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(20), 20).astype(str).astype(object)
    hit = np.repeat(rng.random(20) < 0.8, 20)  # a patient's photos are all right or all wrong
    facts = {"site": np.where(np.arange(N) < 40, "a", "b")}
    together, apart = _find(hit, facts, ["site"], patients), _find(hit, facts, ["site"])
    assert together["correlation"] > 0.9
    assert apart["correlation"] == 0
    widths = [np.ptp(_named(found, "a")["accuracy_ci95"]) for found in (together, apart)]
    assert widths[0] > 2 * widths[1]


def test_a_slice_of_a_hard_class_is_told_from_one_that_is_hard_by_itself() -> None:
    labels = np.repeat([0, 1], 200)
    hit = np.where(labels == 0, np.arange(N) % 2 == 0, True)
    facts = pd.DataFrame({"site": np.where(labels == 0, "a", "b")})
    found = find_weak_slices(hit, labels, np.arange(N).astype(str).astype(object), pd.DataFrame(), facts)
    assert _named(found, "a")["weak"]
    assert _named(found, "a")["expected"] == _named(found, "a")["accuracy"] == 0.5


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_every_figure_is_in_its_range_whatever_the_hits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hit = rng.random(100) < rng.choice([0.0, 0.5, 1.0])
    groups = rng.integers(0, 5, 100).astype(str).astype(object)
    found = _find(hit, {"brightness": rng.random(100), "ward": rng.integers(0, 3, 100).astype(str)}, ["ward"], groups)
    for one in found["slices"]:
        assert 0 <= one["accuracy_ci95"][0] <= one["accuracy"] <= one["accuracy_ci95"][1] <= 1
        assert -1 <= one["difference_ci95"][0] <= one["difference"] <= one["difference_ci95"][1] <= 1
        assert 0 <= one["p_value"] <= one["p_adjusted"] <= 1


def test_where_nothing_is_weak_hardly_ever_is_anything_flagged() -> None:
    rng = np.random.default_rng(2)
    flagged = 0
    for _ in range(25):
        facts = {f"column {i}": rng.integers(0, 3, 200).astype(str) for i in range(5)}
        flagged += any(one["weak"] for one in _find(rng.random(200) < 0.8, facts, list(facts))["slices"])
    assert flagged / 25 <= 0.10
