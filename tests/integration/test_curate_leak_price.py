"""What a random split pretends is measured: high where groups give their images away, nothing where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_cnn.curate.leak_price import LARGEST, LeakPrice, measure_leak_price

GROUPS, MEMBERS, COLUMNS = 60, 5, 40


def price(of_the_class: float, of_the_group: float, seed: int = 1) -> LeakPrice:
    """Groups of one class each; an embedding shows its class and its group as strongly as is said, and noise."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), MEMBERS)
    label = group % 3
    classes, own = rng.normal(size=(3, COLUMNS)), rng.normal(size=(GROUPS, COLUMNS))
    values = of_the_class * classes[label] + of_the_group * own[group] + rng.normal(size=(len(group), COLUMNS))
    return measure_leak_price(
        values.__getitem__, label.astype(str).astype(object), group.astype(str).astype(object), seed
    )


def unasked(rows: NDArray[np.intp]) -> NDArray[np.float64]:
    raise AssertionError(f"embeddings of {len(rows)} images were asked for")


def test_groups_that_look_alike_have_a_price_and_the_interval_holds_it() -> None:
    found = price(0.15, 3.0)
    assert found.points > 10
    assert 0 < found.low < found.points < found.high
    assert found.points == pytest.approx(100 * (found.accuracy_random - found.accuracy_grouped), abs=0.02)
    assert found.sentence.startswith(
        f"A random split would have overstated accuracy by about {found.points:.1f} points"
    )


def test_groups_that_show_nothing_have_no_price() -> None:
    found = price(0.6, 0.0)
    assert found.low <= 0 <= found.high
    assert "not have overstated accuracy measurably" in found.sentence


def test_single_images_cost_nothing_and_nothing_is_computed() -> None:
    alone = np.array([str(row) for row in range(30)], dtype=object)
    found = measure_leak_price(unasked, np.array(["a", "b"] * 15, dtype=object), alone, 1)
    assert (found.points, found.repeats) == (0, 0)
    assert "stands alone" in found.sentence


def test_one_group_has_no_price() -> None:
    one = np.array(["g"] * 10, dtype=object)
    assert measure_leak_price(unasked, np.array(["a", "b"] * 5, dtype=object), one, 1).repeats == 0


def test_the_same_seed_gives_the_same_price() -> None:
    assert price(0.3, 2.0) == price(0.3, 2.0)


def test_of_a_large_set_whole_groups_are_drawn() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(LARGEST), 2)
    values = rng.normal(size=(len(group), 2))
    found = measure_leak_price(
        values.__getitem__, rng.choice(["a", "b"], len(group)).astype(object), group.astype(object), 1
    )
    assert found.images == 2 * found.groups == LARGEST


@pytest.mark.parametrize(
    ("sizes", "groups"), [([LARGEST + 500] + [20] * 50, 51), ([LARGEST - 10] * 2, 2), ([9 * LARGEST, 1], 2)]
)
def test_a_group_larger_than_what_is_drawn_is_thinned_and_hides_no_other(sizes: list[int], groups: int) -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(len(sizes)), sizes)
    values, label = rng.normal(size=(len(group), 2)), rng.choice(["a", "b"], len(group)).astype(object)
    for seed in (1, 2):
        found = measure_leak_price(values.__getitem__, label, group.astype(object), seed)
        assert found.groups == groups
        assert LARGEST / 2 < found.images <= LARGEST
