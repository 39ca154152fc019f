"""What one picture looks like in numbers: brightness, contrast, sharpness and so on. Numpy and Pillow alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

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
