"""The kinds of copies that people make of a photograph, written as files."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

QUALITY = 90  # of every copy but `jpeg`: a copy is saved again


@dataclass(frozen=True)
class CopyKind:
    """One way to change a picture.

    Attributes:
        words: what it does.
        change: a picture and a number 0, 1, 2, … of the copy, which decides about signs and sides.
        quality: JPEG quality that the copy is saved with.
    """

    words: str
    change: Callable[[Image.Image, int], Image.Image]
    quality: int = QUALITY


def crop_sides(image: Image.Image, share: float) -> Image.Image:
    """Cut `share` of the width off the left and off the right, and as much of the height."""
    across, down = share * image.width, share * image.height
    return image.crop((round(across), round(down), image.width - round(across), image.height - round(down)))


def turn(image: Image.Image, degrees: float) -> Image.Image:
    """Turn about the centre in a frame of the same size; the corners become black."""
    return image.rotate(degrees, Image.Resampling.BICUBIC)


def turn_inside(image: Image.Image, degrees: float) -> Image.Image:
    """Turn and keep the largest upright part of the same shape that lies inside: no black corners."""
    angle, (width, height) = math.radians(abs(degrees)), image.size
    long, short = max(width, height), min(width, height)
    share = 1 / (math.cos(angle) + long / short * math.sin(angle))
    turned = turn(image, degrees)
    return crop_sides(turned, (1 - share) / 2)


def _sign(number: int) -> int:
    return 1 if number % 2 else -1


KINDS = {
    "jpeg": CopyKind("saved as JPEG of quality 40", lambda image, _: image, 40),
    "resize": CopyKind(
        "half the width and height", lambda image, _: image.resize((image.width // 2, image.height // 2))
    ),
    "crop": CopyKind("3 % cut off each of the four sides", lambda image, _: crop_sides(image, 0.03)),
    "brightness": CopyKind(
        "30 % brighter, every second one 30 % darker",
        lambda image, number: ImageEnhance.Brightness(image).enhance(1 + 0.3 * _sign(number)),
    ),
    "grey": CopyKind("without colour", lambda image, _: ImageOps.grayscale(image).convert("RGB")),
    "flip": CopyKind("mirrored", lambda image, _: ImageOps.mirror(image)),
    "turn90": CopyKind("turned by 90°", lambda image, number: image.rotate(90 * _sign(number), expand=True)),
    "turn5": CopyKind(
        "turned by 5° in the same frame, black corners", lambda image, number: turn(image, 5.0 * _sign(number))
    ),
    "turn5 inside": CopyKind(
        "turned by 5°, the largest part without corners", lambda image, number: turn_inside(image, 5.0 * _sign(number))
    ),
    "crop 5 %": CopyKind("5 % cut off each of the four sides", lambda image, _: crop_sides(image, 0.05)),
}


def write_copies(sources: list[Path], folder: Path) -> None:
    """Write one copy of every source and kind.

    Args:
        sources: image files; number i becomes <folder>/<kind>/<i>.jpg.
        folder: where to.
    """
    for name in KINDS:
        (folder / name).mkdir(parents=True)
    for number, path in enumerate(sources):
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        for name, kind in KINDS.items():
            kind.change(image, number).save(folder / name / f"{number:04d}.jpg", quality=kind.quality)


def draw_sources(images: int, wanted: int, seed: int) -> list[int]:
    """Rows of the images that are copied, in order."""
    return np.sort(np.random.default_rng(seed).choice(images, min(wanted, images), replace=False)).tolist()
