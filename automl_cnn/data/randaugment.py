"""RandAugment: a few changes drawn from fourteen, all at one strength.

Source: Cubuk et al. 2020, RandAugment. N = 2 and M = 9 of 30 are the paper's values for ResNet-50 on ImageNet; the
strongest change of each kind is as in AutoAugment's table. Corners are filled by reflection, not in grey.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from automl_cnn.data.image_changes import relit, shifted, turned, warp

Pixels = NDArray[np.uint8]

CHANGES_PER_IMAGE = 2
STRENGTH = 9 / 30

_LARGEST_TURN_DEGREES = 30.0
_LARGEST_SHEAR = 0.3
_LARGEST_SHIFT = 0.45  # of the side
_LARGEST_FACTOR = 0.9  # colour, contrast, brightness and sharpness go from 0.1 to 1.9
_MOST_BITS_DROPPED = 4


def randaugment(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Apply CHANGES_PER_IMAGE changes one after the other, repeats allowed.

    Args:
        pixels: uint8 RGB [S, S, 3]; left as it is.
        rng: the source of chance: which changes, and in which direction.
    Returns:
        uint8 RGB [S, S, 3].
    """
    for index in rng.integers(0, len(_CHANGES), CHANGES_PER_IMAGE):
        sign = 1 if rng.random() < 0.5 else -1
        pixels = _CHANGES[index](pixels, sign * STRENGTH)
    return pixels


def _filtered(pixels: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    return np.asarray(change(Image.fromarray(np.ascontiguousarray(pixels))))


def _factor(strength: float) -> float:
    return 1 + _LARGEST_FACTOR * strength


def _sharpness(pixels: Pixels, strength: float) -> Pixels:
    return _filtered(pixels, lambda image: ImageEnhance.Sharpness(image).enhance(_factor(strength)))


def _posterize(pixels: Pixels, strength: float) -> Pixels:
    bits = 8 - round(_MOST_BITS_DROPPED * abs(strength))
    return _filtered(pixels, lambda image: ImageOps.posterize(image, bits))


def _solarize(pixels: Pixels, strength: float) -> Pixels:
    threshold = math.ceil(256 * (1 - abs(strength)))
    return _filtered(pixels, lambda image: ImageOps.solarize(image, threshold))


_CHANGES: tuple[Callable[[Pixels, float], Pixels], ...] = (
    lambda pixels, strength: pixels,
    lambda pixels, strength: _filtered(pixels, ImageOps.autocontrast),
    lambda pixels, strength: _filtered(pixels, ImageOps.equalize),
    lambda pixels, strength: turned(pixels, _LARGEST_TURN_DEGREES * strength),
    _solarize,
    lambda pixels, strength: relit(pixels, saturation=_factor(strength)),
    _posterize,
    lambda pixels, strength: relit(pixels, contrast=_factor(strength)),
    lambda pixels, strength: relit(pixels, brightness=_factor(strength)),
    _sharpness,
    lambda pixels, strength: warp(pixels, (1, _LARGEST_SHEAR * strength, 0, 1)),
    lambda pixels, strength: warp(pixels, (1, 0, _LARGEST_SHEAR * strength, 1)),
    lambda pixels, strength: shifted(pixels, right=_LARGEST_SHIFT * strength),
    lambda pixels, strength: shifted(pixels, down=_LARGEST_SHIFT * strength),
)
