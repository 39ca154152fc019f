"""The elementary changes that augmentation policies are made of: geometry, light, a hidden part."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Matrix = tuple[float, float, float, float]

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601: how much of a grey each of R, G, B is
_ERASED_ASPECT = 0.3
_ERASE_TRIES = 100


def crop(pixels: Pixels, rng: np.random.Generator, smallest_area: float) -> Pixels:
    """A random square part, brought back to full size.

    Args:
        pixels: uint8 RGB [S, S, 3].
        rng: the source of chance.
        smallest_area: share of the area that is kept at least, above 0, at most 1.
    """
    size = pixels.shape[0]
    side = size * math.sqrt(rng.uniform(smallest_area, 1.0))
    left, top = rng.uniform(0, size - side, 2)
    box = (left, top, left + side, top + side)
    return np.asarray(_picture(pixels).resize((size, size), Image.Resampling.BILINEAR, box=box))


def rotate(pixels: Pixels, rng: np.random.Generator, degrees: float) -> Pixels:
    """Turned about the centre by up to `degrees` either way."""
    return turned(pixels, rng.uniform(-degrees, degrees))


def turned(pixels: Pixels, degrees: float) -> Pixels:
    """Turned about the centre; the corners are filled by reflection."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return warp(pixels, (cosine, sine, -sine, cosine))


def warp(pixels: Pixels, matrix: Matrix) -> Pixels:
    """Turn or shear about the centre; what comes in from outside is the picture mirrored at its edge.

    Args:
        pixels: uint8 RGB [S, S, 3].
        matrix: a, b, c, d: the new point (x, y), seen from the centre, shows the old (ax + by, cx + dy).
    Returns:
        uint8 RGB [S, S, 3], interpolated bilinearly.
    """
    size = pixels.shape[0]
    a, b, c, d = matrix
    half = size / 2
    reach = max(abs(a) + abs(b), abs(c) + abs(d)) * half - half
    margin = max(0, math.ceil(reach)) + 1
    padded = Image.fromarray(_mirrored_around(pixels, margin, margin))
    coefficients = (a, b, half - (a + b) * half + margin, c, d, half - (c + d) * half + margin)
    return np.asarray(padded.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR))


def shifted(pixels: Pixels, right: float = 0.0, down: float = 0.0) -> Pixels:
    """Moved by whole pixels; what comes in from outside is the picture mirrored at its edge.

    Args:
        pixels: uint8 RGB [S, S, 3].
        right: share of the side, −1 to 1.
        down: likewise.
    """
    size = pixels.shape[0]
    x, y = round(right * size), round(down * size)
    padded = _mirrored_around(pixels, abs(x), abs(y))
    return padded[abs(y) - y :, abs(x) - x :][:size, :size]


def change_light(pixels: Pixels, rng: np.random.Generator, light: float, saturation: float) -> Pixels:
    """Random brightness, contrast and saturation.

    Args:
        pixels: uint8 RGB [S, S, 3].
        rng: the source of chance.
        light: brightness and contrast are multiplied by 1 − light to 1 + light.
        saturation: as much for the distance of a colour from its grey.
    """
    brightness, contrast = rng.uniform(1 - light, 1 + light, 2)
    return relit(pixels, brightness, contrast, rng.uniform(1 - saturation, 1 + saturation))


def relit(pixels: Pixels, brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0) -> Pixels:
    """Brightness, contrast (about the picture's mean grey) and saturation by these factors, 1 for no change.

    All three are linear in R, G and B, so they are one matrix, one pass, and rounded once.
    """
    image = _picture(pixels)
    mean = np.asarray(image.resize((1, 1), Image.Resampling.BOX), np.float64)[0, 0] @ _GREY
    scale = brightness * contrast
    colour = scale * (saturation * np.eye(3) + (1 - saturation) * np.ones((3, 1)) * np.array(_GREY))
    offset = brightness * (1 - contrast) * mean
    rows = [(*map(float, row), float(offset)) for row in colour]
    return np.asarray(image.convert("RGB", tuple(value for row in rows for value in row)))


def erase(pixels: Pixels, rng: np.random.Generator, areas: tuple[float, float]) -> Pixels:
    """Put noise in a random rectangle.

    Args:
        pixels: uint8 RGB [S, S, 3]; left as it is.
        rng: the source of chance.
        areas: the smallest and the largest share of the area that is hidden. The paper's largest is 0.4.
    Source: Zhong et al. 2017, Random Erasing Data Augmentation, algorithm 1; random values, aspect 0.3 to 1 / 0.3.
    """
    size = pixels.shape[0]
    erased = np.array(pixels)
    for _ in range(_ERASE_TRIES):
        area, aspect = rng.uniform(*areas) * size * size, rng.uniform(_ERASED_ASPECT, 1 / _ERASED_ASPECT)
        height, width = max(1, round(math.sqrt(area * aspect))), max(1, round(math.sqrt(area / aspect)))
        if height < size and width < size:
            top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
            erased[top : top + height, left : left + width] = rng.integers(0, 256, (height, width, 3), np.uint8)
            break
    return erased


def _mirrored_around(pixels: Pixels, columns: int, rows: int) -> Pixels:
    return np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), mode="reflect")


def _picture(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels))
