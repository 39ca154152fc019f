"""The test images that two runs share: only on these can their models be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.config import EvaluateParams
from automl_cnn.evaluate.paired import Comparison, compare_paired
from automl_cnn.tracking.same_pictures import match_pictures
from automl_cnn.tracking.snapshot import Snapshot

ENOUGH = 30  # images: with fewer not even ten right against none wrong would say much
_CLASS = "p_"


@dataclass(frozen=True)
class Pairs:
    """Images that both models were judged on.

    Attributes:
        table: path, label, first and second (the predicted classes), one row an image.
        labels: int64 [n], indices of `class_names`.
        first, second: float32 [n, classes].
        groups: int64 [n], 0 … groups − 1, of the second run.
        class_names: of both models.
        only_first, only_second: images of one test split that the other lacks.
        relabelled: images whose label differs; the second run's is taken, which is the newer knowledge.
    """

    table: pd.DataFrame
    labels: NDArray[np.int64]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    groups: NDArray[np.int64]
    class_names: tuple[str, ...]
    only_first: int
    only_second: int
    relabelled: int

    def notes(self) -> list[str]:
        """What is to be known of the images, a sentence each."""
        notes = []
        if self.only_first or self.only_second:
            notes.append(
                f"The test splits differ: {len(self.table):,} images are in both, {self.only_first:,} only in the "
                f"first, {self.only_second:,} only in the second."
            )
        if self.relabelled:
            notes.append(f"{self.relabelled:,} of them were relabelled; both models are judged by the newer label.")
        return notes


def pair_images(first: Snapshot, second: Snapshot) -> Pairs:
    """Find the test images of both by `match_pictures`: by their pixels, wherever their files lie now.

    A class that one of the models does not know has probability 0 there.
    """
    rows = match_pictures(first.predictions, second.predictions)
    columns = ["path", "label", "group", "predicted"]
    parts = [
        run.predictions.iloc[found][columns].reset_index(drop=True).add_suffix(suffix)
        for run, found, suffix in zip((first, second), rows, ("_first", "_second"), strict=True)
    ]
    both = pd.concat(parts, axis=1)
    names = [tuple(c[2:] for c in run.predictions.columns if c.startswith(_CLASS)) for run in (first, second)]
    classes = tuple(dict.fromkeys((*names[1], *names[0], *both["label_second"])))
    order = {name: index for index, name in enumerate(classes)}
    return Pairs(
        table=pd.DataFrame(
            {
                "path": both["path_second"],
                "label": both["label_second"],
                "first": both["predicted_first"],
                "second": both["predicted_second"],
            }
        ),
        labels=both["label_second"].map(order).to_numpy(dtype=np.int64),
        first=_probabilities(first.predictions, rows[0], classes),
        second=_probabilities(second.predictions, rows[1], classes),
        groups=pd.factorize(both["group_second"])[0].astype(np.int64),
        class_names=classes,
        only_first=len(first.predictions) - len(both),
        only_second=len(second.predictions) - len(both),
        relabelled=int((both["label_first"] != both["label_second"]).sum()),
    )


def compare_pairs(pairs: Pairs, params: EvaluateParams) -> Comparison | None:
    """The paired test on the common images; None where they are fewer than `ENOUGH`."""
    if len(pairs.table) < ENOUGH:
        return None
    return compare_paired(
        pairs.labels, pairs.first, pairs.second, pairs.groups,
        resamples=params.bootstrap, confidence=params.confidence, seed=params.seed,
    )  # fmt: skip


def _probabilities(predictions: pd.DataFrame, rows: NDArray[np.int64], classes: tuple[str, ...]) -> NDArray[np.float32]:
    """float32 [n, classes] of the rows asked for."""
    columns = [f"{_CLASS}{name}" for name in classes]
    return predictions.reindex(columns=columns, fill_value=0.0).iloc[rows].to_numpy(dtype=np.float32)
