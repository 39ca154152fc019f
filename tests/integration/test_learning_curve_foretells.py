"""What the learning curve foretells comes true."""

from __future__ import annotations

import numpy as np
import pytest

from automl_cnn.evaluate.learning_curve import Embedded, measure_learning_curve


def _side(n: int, seed: int) -> Embedded:
    """Three classes as clouds in sixty dimensions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    values = rng.normal(size=(n, 60))
    values[np.arange(n), labels] += 1.5
    return Embedded(values, labels.astype(np.int64), np.arange(n).astype(str).astype(object))


def test_twice_as_many_labels_give_about_what_the_curve_foretold() -> None:
    validation = _side(1500, 2)
    found, later = (measure_learning_curve(_side(n, 1), validation, ["a", "b", "c"], 1) for n in (600, 1200))
    reached = later["overall"]["points"][-1]["score"]
    assert reached == pytest.approx(found["overall"]["ahead"]["score"], abs=0.03)
    assert reached > found["overall"]["points"][-1]["score"]
