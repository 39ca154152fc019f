"""How alike images are to a network that has seen none of them: the embeddings that the audit went by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import MANIFEST, SPLITS, Files, read_table
from automl_cnn.audit.embeddings import join_embeddings
from automl_cnn.errors import ArtifactError
from automl_cnn.evaluate.failures import Neighbourhood
from automl_cnn.evaluate.learning_curve import Embedded


@dataclass(frozen=True)
class Looks:
    """Embeddings of every side of the split.

    Attributes:
        table: image_id, label, group, split and store_row, one row an image that is not in quarantine.
        paths: of the embeddings, one a backbone.
        class_names: in the order of the labels.
    """

    table: pd.DataFrame
    paths: Sequence[Path]
    class_names: Sequence[str]

    @classmethod
    def open(cls, files: Files, class_names: Sequence[str]) -> Looks:
        """Find the embeddings; they are read when they are asked for.

        Raises:
            ArtifactError: there are none, or the manifest or the split is missing.
        """
        paths = sorted(files.embeddings.glob("*/base.npy"))
        if not paths:
            raise ArtifactError(
                str(files.embeddings), expected="embeddings of the images", received="none there",
                action="Run `dvc repro features`.",
            )  # fmt: skip
        splits = read_table(files.split / "splits.parquet", SPLITS)
        placed = splits.loc[splits["split"] != "quarantine", ["image_id", "label", "group", "split"]]
        stored = read_table(files.manifest, MANIFEST)[["image_id", "store_row"]]
        return cls(placed.merge(stored, on="image_id", how="left", validate="one_to_one"), paths, class_names)

    def side(self, split: str) -> Embedded:
        """One side, for the learning curve."""
        rows = self.table[self.table["split"] == split]
        labels = pd.Categorical(rows["label"], categories=list(self.class_names)).codes.astype(np.int64)
        return Embedded(join_embeddings(self.paths, rows), labels, rows["group"].to_numpy(np.object_))

    def neighbourhood(self) -> Neighbourhood:
        """The training images, and how to embed any image, for the failures."""
        placed = self.table.set_index("image_id")

        def embed(image_ids: pd.Series) -> NDArray[np.float32]:
            return join_embeddings(self.paths, placed.loc[image_ids])

        return Neighbourhood(self.table.loc[self.table["split"] == "train", ["image_id", "label"]], embed)
