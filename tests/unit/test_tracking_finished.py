"""What of metrics.json becomes a metric in MLflow: every number that one can look for by name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_cnn.tracking.finished import MOST_CLASSES, numbers_of

IN_A_NAME = re.compile(r"[\w.\- ]{1,250}")  # of what MLflow's validate_param_and_metric_name takes, on any system


def metrics_of(labels: list[str]) -> dict[str, Any]:
    lines = [{"label": k, "precision": 0.5, "recall": 0.6, "f1": i / 64, "support": 3} for i, k in enumerate(labels)]
    return {
        "test": {"accuracy": 0.8, "accuracy_ci95": [0.7, 0.9], "per_class": lines},
        "out_of_distribution": {"threshold": 0.3, "images": 4, "share": 0.1},
        "suspected_labels": {"images": 2, "mistakes": 1, "accuracy_without": None},
    }


def test_an_interval_gives_both_ends_and_a_class_precision_recall_and_f1() -> None:
    assert numbers_of(metrics_of(["cat", "dog/wolf"])) == {
        "test.accuracy": 0.8, "test.accuracy_ci95_low": 0.7, "test.accuracy_ci95_high": 0.9,
        "test.precision.cat": 0.5, "test.recall.cat": 0.6, "test.f1.cat": 0,
        "test.precision.dog_wolf": 0.5, "test.recall.dog_wolf": 0.6, "test.f1.dog_wolf": 1 / 64,
        "out_of_distribution.threshold": 0.3, "out_of_distribution.images": 4, "out_of_distribution.share": 0.1,
        "suspected_labels.images": 2, "suspected_labels.mistakes": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("classes", "logged"), [(MOST_CLASSES, MOST_CLASSES), (MOST_CLASSES + 1, 0)])
def test_of_very_many_classes_none_is_logged(classes: int, logged: int) -> None:
    numbers = numbers_of(metrics_of([f"c{i}" for i in range(classes)]))
    assert sum(key.startswith("test.f1.") for key in numbers) == logged


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=8))
def test_every_class_keeps_its_own_score_whatever_it_is_called(labels: list[str]) -> None:
    scores = {key: value for key, value in numbers_of(metrics_of(labels)).items() if key.startswith("test.f1.")}
    assert list(scores.values()) == [i / 64 for i in range(len(labels))]
    assert all(IN_A_NAME.fullmatch(key) for key in scores)
    assert len({key.casefold() for key in scores}) == len(labels)
