"""Augmentation policies: one definition for cached feature views and for fine-tuning."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

VIEWS = {"none": 0, "flip": 1, "crop": 2}
"""Policy → how many augmented views of an image the feature cache holds beside the image itself."""

SMALLEST_CROP_AREA = 0.7
BRIGHTNESS_RANGE = CONTRAST_RANGE = 0.15


def augment(pixels: NDArray[np.uint8], policy: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one training view of an image.

    Args:
        pixels: uint8 RGB [S, S, 3].
        policy: none; flip (mirrored left to right half of the time); crop (that, a random crop of 70 to 100 % of the
            area, and brightness and contrast within 15 %).
        rng: the source of chance; its state moves on.
    Returns:
        uint8 RGB [S, S, 3].
    """
    if policy == "none":
        return pixels
    mirrored = pixels[:, ::-1] if rng.random() < 0.5 else pixels
    return mirrored if policy == "flip" else _crop_and_light(mirrored, rng)


def cached_view(pixels: NDArray[np.uint8], policy: str, view: int, seed: int) -> NDArray[np.uint8]:
    """The `view`-th fixed view of an image under a policy, always different from the image itself.

    Args:
        pixels: uint8 RGB [S, S, 3].
        policy: flip or crop.
        view: 0 to VIEWS[policy] − 1.
        seed: identifies the image, so that images differ.
    Returns:
        uint8 RGB [S, S, 3]; the same for the same arguments.
    """
    if policy == "flip":
        return pixels[:, ::-1]
    mirrored = pixels[:, ::-1] if view % 2 else pixels
    return _crop_and_light(mirrored, np.random.default_rng([seed, view]))


def _crop_and_light(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    size = pixels.shape[0]
    side = size * math.sqrt(rng.uniform(SMALLEST_CROP_AREA, 1.0))
    left, top = rng.uniform(0, size - side, 2)
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(1 - BRIGHTNESS_RANGE, 1 + BRIGHTNESS_RANGE))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(1 - CONTRAST_RANGE, 1 + CONTRAST_RANGE))
    return np.asarray(image)
