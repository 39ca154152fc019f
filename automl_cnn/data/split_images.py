"""The images of one side of the split, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import MANIFEST, SPLITS, Files, read_table
from automl_cnn.data.decode import shrink
from automl_cnn.data.store import ImageStore


@dataclass(frozen=True)
class SplitRows:
    """Which rows of the store stand on one side, without their pixels.

    Attributes:
        table: the rows of splits.parquet, in its order.
        store_rows: int64 [n], rows of the image store.
        labels: int64 [n], index into `classes`.
        classes: every class of the data set, sorted; the order of all probabilities.
    """

    table: pd.DataFrame
    store_rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: list[str]


def split_rows(files: Files, split: str) -> SplitRows:
    """Rows and labels of one side; labels are those after the reviewer's decisions.

    Args:
        files: the places of splits.parquet and manifest.parquet.
        split: train, validation or test.
    """
    splits = read_table(files.split / "splits.parquet", SPLITS)
    manifest = read_table(files.manifest, MANIFEST)[["image_id", "store_row"]]
    classes = sorted(splits.loc[splits["split"] != "quarantine", "label"].unique())
    chosen = splits[splits["split"] == split].merge(manifest, on="image_id", how="left", validate="one_to_one")
    index = {name: position for position, name in enumerate(classes)}
    labels = chosen["label"].map(index).to_numpy(np.int64)
    return SplitRows(chosen, chosen["store_row"].to_numpy(np.int64), labels, classes)


def load_images(store: ImageStore, rows: NDArray[np.int64], input_size_px: int) -> NDArray[np.uint8]:
    """Images as the network is given them.

    Args:
        store: the decoded images.
        rows: int64 [n], rows of the store.
        input_size_px: height and width of the result.
    Returns:
        uint8 RGB [n, input_size_px, input_size_px, 3].
    """
    images = np.empty((len(rows), input_size_px, input_size_px, 3), np.uint8)
    for start in range(0, len(rows), 64):
        for offset, pixels in enumerate(store.read(rows[start : start + 64])):
            images[start + offset] = shrink(pixels, input_size_px)
    return images
