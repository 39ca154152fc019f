"""Images of the store through an engine: while some are computed, the next are read, shrunk and augmented."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.split_images import load_images
from automl_cnn.data.store import ImageStore
from automl_cnn.features.engine import Engine

Change = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""(pixels [S, S, 3], row of the store) → the view of it that is wanted."""


def embed_rows(
    engine: Engine, store: ImageStore, rows: NDArray[np.int64], input_size_px: int, change: Change | None = None
) -> Iterator[NDArray[np.float32]]:
    """Compute the features of pictures, a batch at a time.

    Args:
        engine: computes.
        store: the decoded images.
        rows: int64 [n], rows of the store.
        input_size_px: height and width of the engine's input.
        change: makes a view of each picture; None for the picture itself.
    Yields:
        float32 [≤ batch, *engine.output_shape], in the order of `rows`.
    """

    def features(start: int) -> NDArray[np.float32]:
        part = rows[start : start + engine.batch]
        images = load_images(store, part, input_size_px)
        if change is not None:
            for position, row in enumerate(part):
                images[position] = change(images[position], int(row))
        return engine.embed(images)

    # one thread more than the engine serves: it prepares a batch while the others compute theirs
    with ThreadPoolExecutor(engine.lanes + 1) as pool:
        yield from pool.map(features, range(0, len(rows), engine.batch))
