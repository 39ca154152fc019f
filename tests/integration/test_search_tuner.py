"""keras-tuner's oracles behind the adapter: seeded, free of repeats, and able to go on from a log."""

from collections.abc import Mapping
from typing import Any

import pytest

from automl_cnn.search.space import Arm, head_space
from automl_cnn.search.tuner import Tuner
from automl_cnn.train.head import HeadSettings

SPACE = head_space([Arm("efficientnet-lite0", 160), Arm("efficientnet-lite1", 160)], ["none", "flip"])
KINDS = ("random", "bayesian", "hyperband")


def score(point: Mapping[str, Any]) -> float:
    """Best with a wide hidden layer and a rate of 4e-3."""
    return float(0.5 + point["hidden_units"] / 1024 - abs(point["learning_rate"] - 4e-3) * 5)


def ask(tuner: Tuner, trials: int) -> list[dict[str, Any]]:
    """Points of so many trials, each told its score."""
    points = []
    for _ in range(trials):
        asked = tuner.ask()
        assert asked is not None
        tuner.tell(asked[0], score(asked[1]))
        points.append(asked[1])
    return points


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_point_is_the_sound_default_and_none_comes_twice(kind: str) -> None:
    points = ask(Tuner(SPACE, kind, 3), 14)
    assert {name: points[0][name] for name in SPACE.defaults()} == SPACE.defaults()
    assert len({str(point) for point in points}) == 14
    for point in points:
        assert SPACE.values(point)["backbone"] in ("efficientnet-lite0", "efficientnet-lite1")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_points_and_another_seed_others(kind: str) -> None:
    first, again, other = (ask(Tuner(SPACE, kind, seed), 12) for seed in (3, 3, 4))
    assert first == again
    assert first[1:] != other[1:]


@pytest.mark.parametrize("kind", KINDS)
def test_an_oracle_that_was_told_of_finished_trials_proposes_none_of_them_again(kind: str) -> None:
    whole = ask(Tuner(SPACE, kind, 3), 14)
    continued = Tuner(SPACE, kind, 3)
    for point in whole[:9]:
        continued.replay(point, score(point))
    rest = ask(continued, 5)
    assert not [point for point in rest if point in whole[:9]]
    assert kind == "bayesian" or rest == whole[9:]


def test_a_failed_trial_is_told_and_the_oracle_goes_on() -> None:
    for kind in KINDS:
        tuner = Tuner(SPACE, kind, 3)
        for _ in range(8):
            asked = tuner.ask()
            assert asked is not None
            tuner.tell(asked[0], None)


def test_hyperband_trains_most_heads_shortly_and_the_best_to_the_end() -> None:
    epochs = [point["head_epochs"] for point in ask(Tuner(SPACE, "hyperband", 3), 40)]
    assert min(epochs) < HeadSettings.epochs / 2
    assert max(epochs) == HeadSettings.epochs
    assert epochs.count(min(epochs)) > epochs.count(max(epochs))
