"""What a picture looks like in numbers: brightness, contrast, sharpness and so on, from the stored pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageChops

from automl_cnn.config import Resize
from automl_cnn.data.decode import content_box
from automl_cnn.data.store import ImageStore
from automl_cnn.progress import Progress, silent

_BLOCK_IMAGES = 64
_LEVELS = np.arange(256)


@dataclass(frozen=True)
class Look:
    """The measures of one picture. Grey levels and chroma go from 0 to 255.

    Attributes:
        brightness: mean grey level (ITU-R BT.601).
        contrast: standard deviation of the grey levels.
        sharpness: variance of the Laplacian of the grey levels.
        entropy: of the grey levels, bits a pixel, 0 to 8.
        saturation: mean chroma, the largest of red, green and blue minus the smallest.
        grey_p05: grey level below which the darkest twentieth lies.
        grey_p99: grey level above which the brightest hundredth lies.
        chroma_p99: chroma above which the most colourful hundredth lies.
    """

    brightness: float
    contrast: float
    sharpness: float
    entropy: float
    saturation: float
    grey_p05: float
    grey_p99: float
    chroma_p99: float


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


def measure_look(pixels: NDArray[np.uint8]) -> Look:
    """Measure one picture, uint8 RGB [height, width, 3]. All sums are of integers, so that every machine agrees.

    Source: Pech-Pacheco et al. 2000 for the variance of the Laplacian.
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    grey, (red, green, blue) = picture.convert("L"), picture.split()
    chroma = ImageChops.subtract(
        ImageChops.lighter(ImageChops.lighter(red, green), blue),
        ImageChops.darker(ImageChops.darker(red, green), blue),
    )
    greys, chromas = (np.array(channel.histogram(), np.int64) for channel in (grey, chroma))
    count = int(greys.sum())
    mean = float(greys @ _LEVELS) / count
    shares = greys[greys > 0] / count
    return Look(
        brightness=mean,
        contrast=float(np.sqrt(max(0.0, float(greys @ _LEVELS**2) / count - mean**2))),
        sharpness=_variance_of_laplacian(np.asarray(grey)),
        entropy=float(-(shares * np.log2(shares)).sum()) + 0.0,  # not −0.0 for one grey level
        saturation=float(chromas @ _LEVELS) / count,
        grey_p05=_percentile(greys, 0.05),
        grey_p99=_percentile(greys, 0.99),
        chroma_p99=_percentile(chromas, 0.99),
    )


def content_boxes(usable: pd.DataFrame, store: ImageStore) -> NDArray[np.int64]:
    """Where each picture lies in its stored square: int64 [n, 4], left, top, right, bottom in pixels."""
    resize = cast(Resize, store.resize)
    sizes = zip(usable["width"].tolist(), usable["height"].tolist(), strict=True)
    boxes = [content_box(width, height, store.size_px, resize) for width, height in sizes]
    return np.array(boxes, np.int64).reshape(-1, 4)


def _variance_of_laplacian(grey: NDArray[np.uint8]) -> float:
    """Of the inner pixels, whose four neighbours all belong to the picture; 0 where there are none."""
    if min(grey.shape) < 3:
        return 0.0
    deep = grey.astype(np.int16)
    laplacian = -4 * deep[1:-1, 1:-1]
    for neighbour in (deep[:-2, 1:-1], deep[2:, 1:-1], deep[1:-1, :-2], deep[1:-1, 2:]):
        laplacian += neighbour
    count, wide = laplacian.size, laplacian.astype(np.int32)
    mean = int(wide.sum(dtype=np.int64)) / count
    return int(np.square(wide).sum(dtype=np.int64)) / count - mean**2


def _percentile(histogram: NDArray[np.int64], share: float) -> float:
    """The level at which the running count reaches a share of all."""
    return float(np.searchsorted(np.cumsum(histogram), share * histogram.sum()))
