"""The test images worth looking at: confident mistakes, unsure hits, answers that quantization turned round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import Table
from automl_cnn.audit.embeddings import unit_rows

A_KIND = 24  # images of each kind
NEIGHBOURS = 5
FAILURES = Table(
    "failures", 1,
    ("image_id", "path", "kind", "rank", "label", "predicted", "probability", "label_probability", "float_predicted",
     "ood_score", "label_suspected", "suggested_label", "neighbours", "neighbour_labels", "neighbour_similarities"),
)  # fmt: skip


@dataclass(frozen=True)
class Neighbourhood:
    """The training images, and how alike two images are to a frozen network.

    Attributes:
        training: image_id and label of the training images.
        embed: text [n] of image_ids → float [n, d].
    """

    training: pd.DataFrame
    embed: Callable[[pd.Series], NDArray[np.floating]]


def find_failures(predictions: pd.DataFrame, audited: pd.DataFrame, neighbourhood: Neighbourhood) -> pd.DataFrame:
    """Pick and rank them.

    Args:
        predictions: the PREDICTIONS table, with float_predicted, ood_score and one p_<class> column a class.
        audited: the LABELS table; its flagged images have a label that the audit doubts. Nothing is left out for that.
        neighbourhood: where the nearest training images are looked for.
    Returns:
        FAILURES table, at most A_KIND rows a kind, in the order of kind and rank (1 first): `mistake`, most probable
        answers first; `unsure_hit`, least probable answers first; `flipped`, where the float model says another class,
        most probable answers first. An image may stand under two kinds. probability is that of the answer,
        label_probability that of the label; suggested_label is the audit's, empty where the label is not suspected;
        the three neighbour columns are lists, the most alike first, similarities from −1 to 1.
    """
    given = predictions.filter(regex="^p_")
    names = np.array([name.removeprefix("p_") for name in given.columns], dtype=object)
    values, place = given.to_numpy(np.float64), {name: i for i, name in enumerate(names)}
    table = predictions[["image_id", "path", "label", "predicted", "float_predicted", "ood_score"]].assign(
        probability=values[np.arange(len(values)), predictions["predicted"].map(place)],
        label_probability=values[np.arange(len(values)), predictions["label"].map(place)],
    )
    right = table["predicted"] == table["label"]
    kinds = [
        ("mistake", table[~right], False),
        ("unsure_hit", table[right], True),
        ("flipped", table[table["predicted"] != table["float_predicted"]], False),
    ]
    ranked = []
    for kind, rows, least_first in kinds:
        chosen = rows.sort_values(["probability", "path"], ascending=[least_first, True])[:A_KIND]
        ranked.append(chosen.assign(kind=kind, rank=np.arange(1, len(chosen) + 1)))
    failures = pd.concat(ranked, ignore_index=True)
    doubts = audited[audited["flagged"].astype(bool)].set_index("image_id")["suggested_label"]
    failures = failures.assign(
        label_suspected=failures["image_id"].isin(doubts.index),
        suggested_label=failures["image_id"].map(doubts.to_dict().get).fillna("").astype("str"),
        **_neighbours(failures["image_id"], neighbourhood),
    )
    return failures[list(FAILURES.columns)]


def _neighbours(chosen: pd.Series, neighbourhood: Neighbourhood) -> dict[str, Any]:
    """The three neighbour columns."""
    training = neighbourhood.training
    if chosen.empty or training.empty:
        return {name: [[] for _ in chosen] for name in FAILURES.columns if name.startswith("neighbour")}
    asked, known = (
        unit_rows(np.asarray(neighbourhood.embed(ids), np.float32)) for ids in (chosen, training["image_id"])
    )
    alike = asked @ known.T  # (chosen, training)
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :NEIGHBOURS]
    ids, labels = (training[name].to_numpy(np.object_) for name in ("image_id", "label"))
    return {
        "neighbours": ids[nearest].tolist(),
        "neighbour_labels": labels[nearest].tolist(),
        "neighbour_similarities": np.take_along_axis(alike, nearest, axis=1).astype(np.float64).round(4).tolist(),
    }
