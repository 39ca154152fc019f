"""Do two pictures show the same once one is moved, turned, scaled or mirrored a little? For crops and rotations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

_SCALES = (0.9, 1.1)  # where the search starts; it reaches some 10 % and 8° from there
_COARSE_STEPS, _FINE_STEPS = 8, 6
_LEAST_OVERLAP = 0.6  # of the template's area
_DAMPING = 1e-2
_BLOCK_PAIRS = 64
Floats = NDArray[np.float32]


def aligned_similarity(images: Floats, templates: Floats) -> Floats:
    """Correlation of each pair after the best small affine movement, mirrored or not.

    Args:
        images: float32 [pairs, T, T], T even, grey thumbnails of the whole pictures.
        templates: float32 [pairs, T, T], what each is compared with.
    Returns:
        float32 [pairs], −1 to 1; −1 where less than 60 % would overlap. Coarse structure (wider than T / 4) is left
        out: two garments on the same floor agree in it.
    Source: Lucas and Kanade 1981; Evangelidis and Psarakis 2008 for the correlation as the goal.
    """
    found = np.full(len(images), -1, np.float32)
    for start in range(0, len(images), _BLOCK_PAIRS):
        block = slice(start, start + _BLOCK_PAIRS)
        found[block] = _align_block(_detail(images[block]), _detail(templates[block]))
    return found


def _detail(thumbnails: Floats) -> Floats:
    sigma = thumbnails.shape[1] / 16
    detail: Floats = thumbnails - gaussian_filter(thumbnails, (0, sigma, sigma))
    return detail


def _align_block(images: Floats, templates: Floats) -> Floats:
    best = np.full(len(images), -1, np.float32)
    small, small_templates = _halve(images), _halve(templates)
    for flip in (1, -1):
        warp = np.zeros((len(images), 2, 3), np.float32)
        coarse = np.full(len(images), -2, np.float32)
        for scale in _SCALES:
            start = np.tile(np.array([[scale, 0, 0], [0, scale, 0]], np.float32), (len(images), 1, 1))
            reached, similarity = _refine(small[:, :, ::flip], small_templates, start, _COARSE_STEPS)
            warp = np.where((similarity > coarse)[:, None, None], reached, warp)
            np.maximum(coarse, similarity, out=coarse)
        _, similarity = _refine(images[:, :, ::flip], templates, warp, _FINE_STEPS)
        np.maximum(best, similarity, out=best)
    return best


def _halve(thumbnails: Floats) -> Floats:
    pairs, size = thumbnails.shape[:2]
    halved: Floats = thumbnails.reshape(pairs, size // 2, 2, size // 2, 2).mean(axis=(2, 4))
    return halved


def _refine(images: Floats, templates: Floats, warp: Floats, steps: int) -> tuple[Floats, Floats]:
    """Gauss-Newton on the six numbers of an affine map in coordinates −1 … 1.

    Returns:
        The best maps met, float32 [pairs, 2, 3], and their correlations, float32 [pairs].
    """
    pairs, size = images.shape[:2]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    y, x = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    basis = np.stack([x, y, np.ones_like(x)])  # [3, T·T]
    down, across = np.gradient(images, axis, axis, axis=(1, 2))
    stack = np.stack([images, across, down], axis=1).reshape(pairs, 3, -1)
    target = templates.reshape(pairs, -1)
    best, similarity = warp, np.full(pairs, -1, np.float32)
    for _ in range(steps + 1):
        (values, slope_x, slope_y), inside = _sample(stack, warp @ basis, size)
        moving, spread = _standardise(values, inside)
        still, _ = _standardise(target, inside)
        now = (moving * still).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
        better = (now > similarity) & (inside.mean(axis=1) >= _LEAST_OVERLAP)
        best, similarity = np.where(better[:, None, None], warp, best), np.where(better, now, similarity)
        slopes = np.concatenate([slope_x[:, None] * basis, slope_y[:, None] * basis], axis=1)  # [pairs, 6, T·T]
        slopes *= (inside / spread)[:, None]
        normal = slopes @ slopes.transpose(0, 2, 1)
        damping = _DAMPING * np.trace(normal, axis1=1, axis2=2) / 6 + 1e-6
        normal += damping[:, None, None] * np.eye(6, dtype=np.float32)
        step = np.linalg.solve(normal, slopes @ (still - moving)[:, :, None])
        warp = (warp + np.clip(step, -0.1, 0.1).reshape(pairs, 2, 3)).astype(np.float32)
    return best, similarity.astype(np.float32)


def _sample(stack: Floats, places: Floats, size: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Bilinear values at places in −1 … 1: [3, pairs, T·T], and which of them lie inside the picture."""
    position = (places + 1) * ((size - 1) / 2)
    inside = np.asarray(((position >= 0) & (position <= size - 1)).all(axis=1))
    position = np.clip(position, 0, size - 1.001)
    corner = position.astype(np.int64)
    fx, fy = np.moveaxis(position - corner, 1, 0)[:, :, None]
    index = corner[:, 1] * size + corner[:, 0]

    def at(offset: int) -> Floats:
        return np.take_along_axis(stack, (index + offset)[:, None], axis=2)

    top = at(0) * (1 - fx) + at(1) * fx
    bottom = at(size) * (1 - fx) + at(size + 1) * fx
    values: Floats = np.moveaxis(top * (1 - fy) + bottom * fy, 1, 0)
    return values, inside


def _standardise(values: Floats, inside: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean 0 and deviation 1 inside, 0 outside; and the deviation, [pairs, 1]."""
    count = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    centred = np.where(inside, values - (values * inside).sum(axis=1, keepdims=True) / count, 0)
    spread = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / count) + 1e-3
    return centred / spread, spread
