"""A set of any size from a real one: the real photographs, then the same ones changed so that no two are equal."""

from __future__ import annotations

import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance

QUALITY = 90
LARGEST_ANGLE, CROP_AREA, LIGHT = 20.0, (0.4, 0.8), (0.6, 1.4)


def grow_images(listed: pd.DataFrame, root: Path, folder: Path, images: int) -> pd.DataFrame:
    """Bring the folder to a number of images; those that are there stay, so that a larger set holds the smaller one.

    Past the real ones every further round shows each photograph anew: cut (40 to 80 % of the area), turned by up to 20
    degrees, mirrored or not, lighter or darker, of more or less colour. A round is another group, so that splits hold
    about as many groups a thousand images as the real set has.

    Args:
        listed: path, label and group of the real images, in the order in which they come.
        root: the folder that its paths start from.
        folder: receives <number>.jpg.
        images: how many.
    Returns:
        path, label and group of the images, in their order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(number, *divmod(number, len(listed))) for number in range(images)]
    with ThreadPoolExecutor() as pool:
        paths = listed["path"].tolist()
        list(pool.map(lambda row: _write(root / paths[row[2]], folder / _name(row[0]), row[1], row[0]), rows))
    labels, groups = listed["label"].tolist(), listed["group"].tolist()
    return pd.DataFrame({
        "path": [_name(number) for number, _, _ in rows],
        "label": [labels[source] for _, _, source in rows],
        "group": [f"{groups[source]}-{turn}" for _, turn, source in rows],
    })  # fmt: skip


def cut_classes(table: pd.DataFrame, folder: Path, pieces: int) -> pd.DataFrame:
    """Cut every class into equal pieces by the mean brightness of its images, so that a class can still be learned.

    Args:
        table: path, label and group.
        folder: that the paths start from.
        pieces: number of classes that one becomes.
    """
    if pieces == 1:
        return table
    with ThreadPoolExecutor() as pool:
        brightness = pd.Series(list(pool.map(lambda path: _brightness(folder / path), table["path"])), table.index)
    rank = brightness.groupby(table["label"]).rank(method="first", pct=True)
    piece = np.ceil(rank * pieces).astype(int).clip(1, pieces)
    return table.assign(label=table["label"] + "-" + piece.astype(str))


def _name(number: int) -> str:
    return f"{number:06}.jpg"


def _write(source: Path, target: Path, turn: int, number: int) -> None:
    """The photograph itself in the first turn, else a changed copy; what is there under its name is whole."""
    if target.exists():
        return
    partial = target.with_suffix(".part")
    if turn == 0:
        shutil.copyfile(source, partial)
        partial.replace(target)
        return
    rng = np.random.default_rng(number)
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    share = math.sqrt(rng.uniform(*CROP_AREA))
    width, height = image.size
    left, top = rng.uniform(0, (1 - share) * width), rng.uniform(0, (1 - share) * height)
    image = image.rotate(rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE), Image.Resampling.BILINEAR, fillcolor=(255,) * 3)
    box = (left, top, left + share * width, top + share * height)
    image = image.resize((width, height), Image.Resampling.BILINEAR, box)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(*LIGHT))
    image.save(partial, "JPEG", quality=QUALITY)
    partial.replace(target)


def _brightness(path: Path) -> float:
    with Image.open(path) as image:
        image.draft("L", (64, 64))
        return float(np.asarray(image.convert("L")).mean())
