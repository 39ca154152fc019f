"""Small grey versions of the pictures, the eight ways to turn them, and their perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from automl_cnn.audit.properties import content_boxes
from automl_cnn.data.store import ImageStore
from automl_cnn.progress import Progress, silent

SIZE_PX = 64
HASH_BITS = 64
_BLOCK_IMAGES = 256
Floats = NDArray[np.float32]


def grey_thumbnails(usable: pd.DataFrame, store: ImageStore, progress: Progress = silent) -> NDArray[np.uint8]:
    """Shrink the pictures, without their letterbox, to one square size.

    Args:
        usable: manifest rows with status ok.
        store: their decoded images.
        progress: told after every block.
    Returns:
        uint8 [n, 64, 64], grey levels.
    """
    rows, boxes = usable["store_row"].to_numpy(np.int64), content_boxes(usable, store)
    thumbnails = np.empty((len(rows), SIZE_PX, SIZE_PX), np.uint8)
    for start in range(0, len(rows), _BLOCK_IMAGES):
        pictures = store.read(rows[start : start + _BLOCK_IMAGES])
        for offset, (picture, box) in enumerate(zip(pictures, boxes[start : start + _BLOCK_IMAGES], strict=True)):
            left, top, right, bottom = (int(edge) for edge in box)
            grey = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right])).convert("L")
            thumbnails[start + offset] = np.asarray(grey.resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX))
        progress("thumbnails", min(start + _BLOCK_IMAGES, len(rows)), len(rows))
    return thumbnails


def shrunk(thumbnails: NDArray[np.uint8] | Floats, size_px: int) -> Floats:
    """Average squares of pixels: float32 [n, size_px, size_px]; the thumbnails' side is that, doubled some times."""
    small: Floats = thumbnails.astype(np.float32)
    half = np.float32(0.5)
    while small.shape[1] > size_px:  # six times as fast as a mean over two axes
        small = (small[:, ::2] + small[:, 1::2]) * half
        small = (small[:, :, ::2] + small[:, :, 1::2]) * half
    return small


def orientations(thumbnails: Floats) -> Iterator[Floats]:
    """The eight ways to turn and mirror a square, the picture as it is first: float32 [n, T, T] each."""
    for turned in (thumbnails, thumbnails.transpose(0, 2, 1)):
        for down in (1, -1):
            for across in (1, -1):
                yield turned[:, ::down, ::across]


def perceptual_hashes(small: Floats) -> Floats:
    """pHash: the signs of 64 low frequencies against their median.

    Args:
        small: float32 [n, 32, 32], from `shrunk`.
    Returns:
        float32 [n, 64] of −1 and 1: (64 − a @ b) / 2 bits differ, and a matrix product compares blocks of images.
    Source: Zauner 2010; the same hash as imagehash.phash of a 32-pixel picture.
    """
    low = dctn(small, axes=(1, 2))[:, :8, :8].reshape(len(small), HASH_BITS)
    hashes: Floats = np.where(low > np.median(low, axis=1, keepdims=True), 1, -1).astype(np.float32)
    return hashes
