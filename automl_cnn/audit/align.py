"""Lay one picture over another that may be a little moved, turned, scaled or sheared: for crops and rotations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from automl_cnn.audit.thumbnails import shrunk

INNER = 0.88  # of the side: what is compared; the rim holds black corners, and what a crop has lost
LEAST_OVERLAP = 0.6  # of the inner part
_COARSE_PX, _COARSE_STEPS = 16, 8
_FINE_PX, _FINE_STEPS = 32, 5
_DAMPING = 1e-2
_LONGEST_STEP = 0.1  # in half sides: further, the picture is no longer what its slopes say
Floats = NDArray[np.float32]


def align_coarsely(images: Floats, templates: Floats) -> Floats:
    """Find the affine map that lays each image over its template, from 16-pixel versions.

    Args:
        images: float32 [pairs, T, T], T 32 or 64, grey thumbnails of whole pictures.
        templates: float32 [pairs, T, T], what each is laid over.
    Returns:
        float32 [pairs, 2, 3]: maps from the template's coordinates, −1 … 1 from edge to edge, to the image's. Crops to
        some 80 % and rotations by some 8° are reached.
    Source: Baker and Matthews 2004, the inverse compositional algorithm; Evangelidis and Psarakis 2008 for comparing
        standardised grey levels.
    """
    return _align(images, templates, identity_maps(len(images)), _COARSE_PX, _COARSE_STEPS)


def align_finely(images: Floats, templates: Floats, maps: Floats) -> Floats:
    """Go on from the maps of `align_coarsely`, on 32-pixel versions; arguments and result as there."""
    return _align(images, templates, maps, _FINE_PX, _FINE_STEPS)


def lay_over(images: Floats, maps: Floats, size_px: int) -> tuple[Floats, Floats]:
    """What the images show in the inner part of their templates.

    Args:
        images: float32 [pairs, T, T].
        maps: float32 [pairs, 2, 3].
        size_px: side of the result.
    Returns:
        float32 [pairs, size_px, size_px], the mean where a place lies outside the image; and the share of places that
        lie inside, float32 [pairs].
    """
    values, inside = _sample(images, maps @ _grid(size_px))
    count = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    filled = np.where(inside, values, (values * inside).sum(axis=1, keepdims=True) / count)
    return filled.reshape(-1, size_px, size_px).astype(np.float32), inside.mean(axis=1, dtype=np.float32)


def inner_part(images: Floats, size_px: int) -> Floats:
    """As `lay_over` with a map that moves nothing, ten times as fast: float32 [n, size_px, size_px]."""
    weights = _inner_weights(images.shape[1], size_px)
    part = weights @ images @ weights.T
    return np.asarray(part, np.float32)


def identity_maps(pairs: int) -> Floats:
    """Maps that move nothing: float32 [pairs, 2, 3]."""
    return np.tile(np.eye(3, dtype=np.float32)[:2], (pairs, 1, 1))


def inverse_maps(maps: Floats) -> Floats:
    """Maps from the image's coordinates to the template's: float32 [pairs, 2, 3]."""
    inverse: Floats = np.linalg.inv(_square(maps))[:, :2].astype(np.float32)
    return inverse


def _align(images: Floats, templates: Floats, maps: Floats, size_px: int, steps: int) -> Floats:
    """Gauss-Newton on the six numbers of an affine map; the template's slopes are worked out once."""
    images, templates = _detail(images, size_px), _detail(templates, size_px)
    basis = _grid(size_px)  # [3, k]
    target, slopes = _tangents(templates, basis)
    normal = slopes @ slopes.transpose(0, 2, 1)
    damping = _DAMPING * np.trace(normal, axis1=1, axis2=2) / 6 + 1e-6
    inverse = np.linalg.inv(normal + damping[:, None, None] * np.eye(6, dtype=np.float32))
    best, similarity = maps, np.full(len(images), -1, np.float32)
    for step in range(steps + 1):
        values, inside = _sample(images, maps @ basis)
        moved, count = _standardise(values, inside)
        now = (moved * target).sum(axis=1) / count
        better = (now > similarity) & (count >= LEAST_OVERLAP * basis.shape[1])
        best, similarity = np.where(better[:, None, None], maps, best), np.where(better, now, similarity)
        if step < steps:
            change = inverse @ (slopes @ ((moved - target) * inside)[:, :, None])
            change = np.clip(change, -_LONGEST_STEP, _LONGEST_STEP).reshape(-1, 2, 3)
            back = np.linalg.inv(_square(change) + np.diag([1, 1, 0]).astype(np.float32))
            maps = (_square(maps) @ back)[:, :2].astype(np.float32)
    return best.astype(np.float32)


def _detail(thumbnails: Floats, size_px: int) -> Floats:
    """Smaller, and without structure wider than a quarter: two garments on the same floor agree in that."""
    small = shrunk(thumbnails, size_px)
    detail: Floats = small - gaussian_filter(small, (0, size_px / 16, size_px / 16))
    return detail


def _grid(size_px: int) -> Floats:
    """x, y and 1 of places in the inner part: float32 [3, size_px²]."""
    axis = np.linspace(-INNER, INNER, size_px, dtype=np.float32)
    y, x = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    return np.stack([x, y, np.ones_like(x)])


def _tangents(templates: Floats, basis: Floats) -> tuple[Floats, Floats]:
    """Standardised templates, [pairs, k], and how they change with each number of the map, [pairs, 6, k]."""
    size = templates.shape[1]
    down, across = (np.asarray(slope, np.float32) for slope in np.gradient(templates, 2 / size, axis=(1, 2)))
    values, slope_x, slope_y = (inner_part(part, size).reshape(len(part), -1) for part in (templates, across, down))
    centred = values - values.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True) + 1e-3
    slopes = np.concatenate([slope_x[:, None] * basis, slope_y[:, None] * basis], axis=1)
    return centred / spread, slopes / spread[:, None]


def _inner_weights(size_px: int, inner_px: int) -> Floats:
    """Of the pixels of a row for the places of the inner part, bilinear: float32 [inner_px, size_px]."""
    position = (np.linspace(-INNER, INNER, inner_px) + 1) * (size_px / 2) - 0.5
    weights: Floats = np.clip(1 - np.abs(position[:, None] - np.arange(size_px)), 0, 1).astype(np.float32)
    return weights


def _sample(images: Floats, places: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Bilinear values at places in −1 … 1: [pairs, k], and which of them lie inside the picture."""
    size = images.shape[1]
    x, y = np.moveaxis((places + 1) * np.float32(size / 2) - np.float32(0.5), 1, 0)
    inside = (np.minimum(x, y) >= -0.5) & (np.maximum(x, y) <= size - 0.5)
    x, y = np.clip(x, 0, size - 1.001), np.clip(y, 0, size - 1.001)
    left, top = x.astype(np.intp), y.astype(np.intp)
    fx, fy = x - left.astype(np.float32), y - top.astype(np.float32)
    index = top * size + left + (np.arange(len(images)) * size**2)[:, None]
    flat = np.ascontiguousarray(images, np.float32).ravel()
    upper, lower = flat.take(index), flat.take(index + size)
    index += 1
    upper += (flat.take(index) - upper) * fx
    lower += (flat.take(index + size) - lower) * fx
    return upper + (lower - upper) * fy, inside


def _standardise(values: Floats, inside: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean 0 and deviation 1 inside, 0 outside; and the number of places inside, [pairs]."""
    count = np.maximum(inside.sum(axis=1, keepdims=True), 1).astype(np.float32)
    centred = (values - (values * inside).sum(axis=1, keepdims=True) / count) * inside
    spread = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / count) + 1e-3
    return centred / spread, count[:, 0]


def _square(maps: Floats) -> Floats:
    """With a third row 0 0 1: [pairs, 3, 3]."""
    square = np.zeros((len(maps), 3, 3), np.float32)
    square[:, :2], square[:, 2, 2] = maps, 1
    return square
