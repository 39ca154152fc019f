"""Who becomes champion: a model that is shown to be better in what was searched for, at no class's cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from snapshots import FEW, run_of

from automl_cnn.errors import PromotionError
from automl_cnn.tracking.promotion import require_better
from automl_cnn.tracking.snapshot import Snapshot

CATS, DOGS = 180, 20


def judged(name: str, cats: int, dogs: int, objective: str | None = "macro_f1", first_cat: int = 0) -> Snapshot:
    """A run on 180 cats and 20 dogs that tells so many of each rightly, the cats from `first_cat` on."""
    right = np.r_[np.roll(np.arange(CATS) < cats, first_cat), np.arange(DOGS) < dogs]
    labels = np.array(["cat"] * CATS + ["dog"] * DOGS)
    said = np.where(right, labels, np.where(labels == "cat", "dog", "cat"))
    numbers = [f"{i:03}" for i in range(CATS + DOGS)]
    keys = dict.fromkeys(("image_id", "path", "group", "pixel_sha"), numbers)
    sure = {f"p_{name}": np.where(said == name, 0.9, 0.1) for name in ("cat", "dog")}
    table = pd.DataFrame({**keys, "label": labels, "predicted": said, **sure})
    params = {} if objective is None else {"search.objective": objective}
    return replace(run_of(), name=name, predictions=table, params=params)


def test_a_model_searched_for_macro_f1_follows_where_only_macro_f1_is_shown_to_be_better() -> None:
    champion, rarer = judged("version 1", 180, 0), judged("version 2", 172, 12)
    said = require_better(champion, rarer, FEW, "m version 2")
    assert said.startswith("Version 2 is better than version 1: +30.4 points of macro F1 (95 % interval")


@pytest.mark.parametrize("objective", ["accuracy", None, "log_loss"])
def test_one_searched_for_accuracy_or_for_what_is_not_tested_is_decided_by_accuracy(objective: str | None) -> None:
    champion, rarer = judged("version 1", 180, 0), judged("version 2", 172, 12, objective)
    with pytest.raises(PromotionError, match=r"too small to tell version 2 from version 1: \+2\.0 points of accuracy"):
        require_better(champion, rarer, FEW, "m version 2")


def test_accuracy_won_by_giving_up_a_rare_class_is_refused_and_the_sentence_says_which_score_fell() -> None:
    champion, careless = judged("version 1", 140, 20), judged("version 2", 175, 5, "accuracy")
    with pytest.raises(PromotionError) as raised:
        require_better(champion, careless, FEW, "m version 2")
    said = str(raised.value)
    assert "better than the champion, version 1, and worse in none; received" in said
    assert "Version 2 is better than version 1: +10.0 points of accuracy" in said
    assert "Version 2 is worse than version 1: -27.8 points of balanced accuracy" in said


def test_of_a_score_that_cannot_be_told_apart_it_is_said_what_accuracy_would_show() -> None:
    champion, other = judged("version 1", 170, 10), judged("version 2", 171, 10, first_cat=3)
    with pytest.raises(PromotionError, match=r"points of macro F1 .* one of about \d+\.\d points of accuracy"):
        require_better(champion, other, FEW, "m version 2")
