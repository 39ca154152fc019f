"""failures.parquet: the images worth looking at, in the order in which to look, none hidden for a doubtful label."""

from __future__ import annotations

import numpy as np
import pandas as pd

from automl_cnn.evaluate.failures import A_KIND, FAILURES, NEIGHBOURS, Neighbourhood, find_failures

TRAINING = pd.DataFrame({"image_id": [f"t{i}" for i in range(8)], "label": ["cat"] * 4 + ["dog"] * 4})


def _embed(ids: pd.Series) -> np.ndarray:
    """An image is the more like t0, the smaller the number in its name."""
    number = ids.str[1:].astype(float).to_numpy()
    return np.stack([np.cos(number / 10), np.sin(number / 10)], axis=1)


def _predictions(rows: list[tuple[str, str, str, float]]) -> pd.DataFrame:
    """(label, predicted, float_predicted, p_cat) an image."""
    label, predicted, twin, cat = zip(*rows, strict=True)
    ids = [f"i{n}" for n in range(len(rows))]
    return pd.DataFrame({
        "image_id": ids, "path": [f"{i}.png" for i in ids], "label": label, "predicted": predicted,
        "float_predicted": twin, "ood_score": 0.1, "p_cat": cat, "p_dog": 1 - np.array(cat),
    })  # fmt: skip


def _find(rows: list[tuple[str, str, str, float]], doubted: str = "") -> pd.DataFrame:
    predictions = _predictions(rows)
    audited = predictions[["image_id"]].assign(flagged=predictions["image_id"] == doubted, suggested_label="dog")
    return find_failures(predictions, audited, Neighbourhood(TRAINING, _embed))


def test_the_surest_mistake_comes_first_and_the_least_sure_hit() -> None:
    found = _find([
        ("dog", "cat", "cat", 0.7), ("dog", "cat", "cat", 0.9), ("cat", "cat", "cat", 0.6), ("cat", "cat", "cat", 0.5),
    ])  # fmt: skip
    assert list(found.columns) == list(FAILURES.columns)
    mistakes, hits = (found[found["kind"] == kind] for kind in ("mistake", "unsure_hit"))
    assert mistakes["image_id"].tolist() == ["i1", "i0"]
    assert mistakes["rank"].tolist() == [1, 2]
    assert mistakes["probability"].tolist() == [0.9, 0.7]
    assert np.allclose(mistakes["label_probability"], [0.1, 0.3])
    assert hits["image_id"].tolist() == ["i3", "i2"]


def test_answers_that_quantization_turned_round_are_listed_right_or_wrong() -> None:
    found = _find([("cat", "cat", "dog", 0.55), ("dog", "cat", "dog", 0.6), ("cat", "cat", "cat", 0.9)])
    assert found.loc[found["kind"] == "flipped", "image_id"].tolist() == ["i1", "i0"]


def test_a_doubtful_label_is_marked_and_stays() -> None:
    found = _find([("cat", "dog", "dog", 0.1), ("cat", "dog", "dog", 0.2)], doubted="i0")
    assert found["label_suspected"].tolist() == [True, False]
    assert found["suggested_label"].tolist() == ["dog", ""]


def test_the_nearest_training_images_stand_beside_each() -> None:
    row = _find([("cat", "dog", "dog", 0.1)]).iloc[0]
    assert row["neighbours"] == ["t0", "t1", "t2", "t3", "t4"]
    assert row["neighbour_labels"] == ["cat", "cat", "cat", "cat", "dog"]
    assert row["neighbour_similarities"][0] == 1.0
    assert len(row["neighbours"]) == NEIGHBOURS


def test_there_are_at_most_so_many_of_a_kind_and_none_where_all_is_well() -> None:
    assert len(_find([("dog", "cat", "cat", 0.9)] * 40)) == A_KIND
    assert set(_find([("cat", "cat", "cat", 0.9)])["kind"]) == {"unsure_hit"}
