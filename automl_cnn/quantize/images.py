"""Images that are read when they are wanted: a large data set never stands in memory as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.split_images import load_images
from automl_cnn.data.store import ImageStore


class Images(Protocol):
    """What both an array and StoredImages do: give uint8 RGB [k, H, W, 3] for int64 rows [k]."""

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """The images of these rows."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with the class of each, int64 [n]."""

    images: Images
    labels: NDArray[np.int64]


class StoredImages:
    """Some images of the store, at the network's input size.

    Args:
        store: the decoded images.
        store_rows: int64 [n], which of them.
        input_size_px: height and width they are given in.
    """

    def __init__(self, store: ImageStore, store_rows: NDArray[np.int64], input_size_px: int) -> None:
        self._store, self._rows, self._size_px = store, store_rows, input_size_px

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]:
        return load_images(self._store, self._rows[rows], self._size_px)
