"""What the stored pictures look like in numbers, one row an image."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.config import Resize
from automl_cnn.data.decode import content_box
from automl_cnn.data.look import Look, measure_look
from automl_cnn.data.store import ImageStore
from automl_cnn.progress import Progress, silent

_BLOCK_IMAGES = 64


def measure_properties(usable: pd.DataFrame, store: ImageStore, progress: Progress = silent) -> pd.DataFrame:
    """Measure every picture, without its letterbox.

    Args:
        usable: manifest rows with status ok.
        store: their decoded images.
        progress: told after every block.
    Returns:
        PROPERTIES table: the fields of Look; aspect, long side over short one; megapixels, of the file.
    """
    rows, boxes = usable["store_row"].to_numpy(np.int64), content_boxes(usable, store).tolist()
    looks: list[Look] = []
    for start in range(0, len(rows), _BLOCK_IMAGES):
        pictures = store.read(rows[start : start + _BLOCK_IMAGES])
        for picture, (left, top, right, bottom) in zip(pictures, boxes[start : start + _BLOCK_IMAGES], strict=False):
            looks.append(measure_look(picture[top:bottom, left:right]))
        progress("properties", len(looks), len(rows))
    sides = usable[["width", "height"]].to_numpy(np.float64)
    measured = {name: np.array([getattr(look, name) for look in looks], np.float64) for name in Look.__annotations__}
    return pd.DataFrame({
        "image_id": usable["image_id"].to_numpy(np.object_),
        **measured,
        "aspect": sides.max(axis=1, initial=0) / np.maximum(sides.min(axis=1, initial=np.inf), 1),
        "megapixels": sides.prod(axis=1) / 1e6,
    }).astype({"image_id": "str"})  # fmt: skip


def content_boxes(usable: pd.DataFrame, store: ImageStore) -> NDArray[np.int64]:
    """Where each picture lies in its stored square: int64 [n, 4], left, top, right, bottom in pixels."""
    resize = cast(Resize, store.resize)
    sizes = zip(usable["width"].tolist(), usable["height"].tolist(), strict=True)
    boxes = [content_box(width, height, store.size_px, resize) for width, height in sizes]
    return np.array(boxes, np.int64).reshape(-1, 4)
