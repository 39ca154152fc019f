"""The laws of the split: no group crosses, every class is everywhere, the same input gives the same split."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.artifacts import DUPLICATES
from automl_cnn.config import SplitParams
from automl_cnn.errors import SplitError
from automl_cnn.split.assign import Split, split_images
from automl_cnn.split.solver import Assignment, assign_groups

NO_DUPLICATES = pd.DataFrame(columns=list(DUPLICATES.columns))


def images(rows: list[tuple[str, str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(label, group) a row → manifest after decisions, groups."""
    ids = [f"i{number:05d}" for number in range(len(rows))]
    decided = pd.DataFrame({
        "image_id": ids, "path": ids, "label": [label for label, _ in rows], "status": "ok", "excluded": False,
    })  # fmt: skip
    return decided, pd.DataFrame({"image_id": ids, "group": [group for _, group in rows], "reason": ""})


def split(rows: list[tuple[str, str]], seed: int = 1) -> Split:
    return split_images(*images(rows), NO_DUPLICATES, SplitParams(seed=seed))


def solve(counts: pd.DataFrame, fixed: np.ndarray | None = None) -> Assignment:
    return assign_groups(list(counts.index), counts.to_numpy(), [0.7, 0.15, 0.15], 1, fixed)


@st.composite
def mixed_groups(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Two to four classes; groups hold one or two of them; each class has three groups of its own."""
    labels = [f"c{k}" for k in range(draw(st.integers(2, 4)))]
    rows = [(label, f"{label}-{own}") for label in labels for own in range(3)]
    for number in range(draw(st.integers(0, 12))):
        held = draw(st.lists(st.sampled_from(labels), min_size=1, max_size=2))
        rows += [(label, f"g{number}") for label in held for _ in range(draw(st.integers(1, 6)))]
    return rows


@settings(max_examples=15, deadline=None)
@given(mixed_groups())
def test_no_group_crosses_and_every_class_is_on_every_side(rows: list[tuple[str, str]]) -> None:
    result = split(rows)
    assert (result.table.groupby("group")["split"].nunique() == 1).all()
    assert (result.table.groupby("label")["split"].nunique() == 3).all()
    assert result.report["leaks"] == 0
    assert result.report["missing_classes"] == []


@settings(max_examples=8, deadline=None)
@given(mixed_groups(), st.randoms(use_true_random=False))
def test_the_order_of_the_groups_does_not_matter(rows: list[tuple[str, str]], random: object) -> None:
    counts = pd.crosstab(pd.Series([g for _, g in rows]), pd.Series([label for label, _ in rows]))
    shuffled = counts.sample(frac=1, random_state=1)
    first, second = (dict(zip(frame.index, solve(frame).sides.tolist(), strict=True)) for frame in (counts, shuffled))
    assert first == second


def test_the_seed_decides_which_of_equal_images_goes_where() -> None:
    rows = [(label, f"{label}{number}") for label in "ab" for number in range(100)]
    assert split(rows).table.equals(split(rows).table)
    assert not split(rows).table["split"].equals(split(rows, seed=2).table["split"])


def test_single_images_are_split_as_wished_to_the_image() -> None:
    report = split([("a", f"a{n}") for n in range(400)] + [("b", f"b{n}") for n in range(100)]).report
    assert report["images"] == {"test": 75, "train": 350, "validation": 75}
    assert max(report["class_distance"].values()) == 0


def test_three_groups_a_class_are_enough() -> None:
    report = split([(label, f"{label}{group}") for label in "ab" for group in range(3) for _ in range(5)]).report
    assert report["images"] == {"test": 10, "train": 10, "validation": 10}


def test_a_class_with_two_groups_is_named_with_its_numbers_and_what_to_do() -> None:
    rows = [("a", f"a{n}") for n in range(9)] + [("rare", "r1"), ("rare", "r1"), ("rare", "r2")]
    with pytest.raises(SplitError, match=r"rare \(3 images in 2 groups: r1, r2\)\. Collect 1 more group of rare"):
        split(rows)


def test_one_class_is_an_error() -> None:
    with pytest.raises(SplitError, match="at least two classes"):
        split([("a", f"a{n}") for n in range(9)])


def test_groups_too_entangled_for_three_sides_are_an_error() -> None:
    holders = {"a": "123", "b": "124", "c": "134", "d": "234"}
    with pytest.raises(SplitError, match="entangled"):
        split([(label, group) for label, groups in holders.items() for group in groups])


def test_broken_and_excluded_images_are_in_quarantine_with_the_reason() -> None:
    decided, groups = images([(label, f"{label}{n}") for label in "ab" for n in range(20)])
    decided.loc[3, "status"] = "truncated"
    decided.loc[5, "excluded"] = True
    table = split_images(decided, groups, NO_DUPLICATES, SplitParams()).table
    assert table.loc[[3, 5], "split"].tolist() == ["quarantine", "quarantine"]
    assert table.loc[[3, 5], "reason"].tolist() == ["broken: truncated", "excluded by a reviewer"]
    assert (table["split"] == "quarantine").sum() == 2


def test_a_cluster_of_duplicates_that_no_group_holds_together_is_counted_as_a_leak() -> None:
    decided, groups = images([(label, f"{label}{n}") for label in "ab" for n in range(20)])
    rows = [("d1", name, name, "phash", 0.1, False) for name in decided["image_id"]]
    duplicates = pd.DataFrame(rows, columns=list(DUPLICATES.columns))
    report = split_images(decided, groups, duplicates, SplitParams()).report
    assert (report["leaks"], report["leaking_groups"], report["leaking_duplicate_clusters"]) == (1, 0, 1)


def test_a_hundred_thousand_groups_take_seconds() -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(rng.gamma(0.3, 3, (100_000, 1)) * rng.dirichlet(np.full(5, 0.3), 100_000))
    counts = counts[counts.sum(axis=1) > 0].astype(np.int64)
    started = time.perf_counter()
    sides = assign_groups([str(n) for n in range(len(counts))], counts, [0.7, 0.15, 0.15], 1).sides
    assert time.perf_counter() - started < 20
    got = np.array([counts[sides == side].sum() for side in range(3)]) / counts.sum()
    assert np.allclose(got, [0.7, 0.15, 0.15], atol=0.001)
