"""Is a pair that a hash, an embedding or a small picture proposes really the same picture?

One picture is turned, mirrored and laid over the other, and what is compared is each one's own: a set's pictures share
so much that solar cells, laid over each other, agree at .98 of their detail.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from automl_cnn.audit.align import (
    LEAST_OVERLAP,
    align_coarsely,
    align_finely,
    identity_maps,
    inner_part,
    inverse_maps,
    lay_over,
)
from automl_cnn.audit.search import blocks
from automl_cnn.audit.set_look import SetLook
from automl_cnn.audit.thumbnails import orientations, shrunk
from automl_cnn.progress import Progress, silent

_SMALL_PX, _SMALL_NOISE = 16, 0.03  # forgives small movements
_INNER_PX, _INNER_NOISE = 24, 0.003
_REFERENCES = 1024  # images that stand for the set where a background is estimated
_BACKGROUND_RANK = 10  # the background of an image is its tenth nearest of the references …
# … but no nearer than this: ten copies would be each other's background. A pair alike at .975 is a copy in any set.
_MOST_BACKGROUND = 5 / 6
# A pair is a copy when what is their own is this similar …
_OWN_SIMILARITY = 0.85
# … and this much nearer than the images around it: (1 − similarity) over (1 − that of the background).
_OWN_RATIO = 0.15
# After the coarse alignment a pair is worth the fine one when it is so similar, and so much nearer than the others.
_HOPEFUL_SIMILARITY, _HOPEFUL_RATIO = 0.5, 0.75
_BLOCK_PAIRS = 128
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class SecondLook:
    """Compares pictures of one set.

    Args:
        thumbnails: uint8 [n, 64, 64].
        seed: which images stand for the set where there are more than 1,024.
    Attributes:
        small: float32 [n, 256], what is each picture's own at 16 pixels: near ones are worth a second look.
    """

    def __init__(self, thumbnails: Bytes, seed: int) -> None:
        n = len(thumbnails)
        self._thumbnails = thumbnails
        self._seen = np.arange(n)
        if n > _REFERENCES:
            self._seen = np.sort(np.random.default_rng(seed).choice(n, _REFERENCES, replace=False))
        seen = thumbnails[self._seen]
        self._small_look = SetLook.learn(shrunk(seen, _SMALL_PX), _SMALL_NOISE, seed)
        self._inner_look = SetLook.learn(_inner(seen), _INNER_NOISE, seed)
        self._background = self._learn_background()
        self.small = _in_blocks(lambda part: self._small_look.own(shrunk(thumbnails[part], _SMALL_PX)), n)

    def confirm(self, first: Rows, second: Rows, progress: Progress = silent) -> tuple[Floats, NDArray[np.bool_]]:
        """Say which pairs are copies.

        Args:
            first: int64 [pairs].
            second: int64 [pairs].
            progress: told after every block of pairs.
        Returns:
            How alike they are in what is their own, one laid over the other as far as it was worth while: float32
            [pairs], −1 … 1; and whether that makes them copies in this set, bool [pairs].
        """
        similarity, copies = np.empty(len(first), np.float32), np.empty(len(first), bool)
        for block in blocks(len(first), _BLOCK_PAIRS):
            similarity[block], copies[block] = self._confirm(first[block], second[block])
            progress("second look", block.stop, len(first))
        return similarity, copies

    def similarity(self, first: Rows, second: Rows) -> Floats:
        """How alike pairs are in what is their own, whatever lies around them: float32 [pairs], −1 … 1."""
        found = np.empty(len(first), np.float32)
        for block in blocks(len(first), _BLOCK_PAIRS):  # of a chain of thousands the pictures would take gigabytes
            found[block] = self._refine(first[block], second[block], np.ones(len(first[block]), np.float32))
        return found

    def _confirm(self, first: Rows, second: Rows) -> tuple[Floats, NDArray[np.bool_]]:
        around = 1 - np.maximum(self._background[first], self._background[second])
        similarity = self._refine(first, second, around)
        return similarity, _is_copy(similarity, around)

    def _refine(self, first: Rows, second: Rows, around: Floats) -> Floats:
        """Lay pictures over each other, first as they are, then coarsely and finely aligned, while it is undecided."""
        images, templates = self._oriented(first, second), self._thumbnails[second].astype(np.float32)
        similarity = self._laid_over(images, templates, identity_maps(len(images)))
        left = np.flatnonzero(~_is_copy(similarity, around))
        if len(left) == 0:
            return similarity
        images, templates = images[left], templates[left]
        maps = align_coarsely(images, templates)
        found = self._laid_over(images, templates, maps)
        similarity[left] = np.maximum(similarity[left], found)
        hopeful = (found >= _HOPEFUL_SIMILARITY) & (1 - found <= _HOPEFUL_RATIO * around[left])
        hopeful &= ~_is_copy(found, around[left])
        left, images, templates = left[hopeful], images[hopeful], templates[hopeful]
        if len(left) == 0:
            return similarity
        maps = align_finely(images, templates, maps[hopeful])
        found = self._laid_over(images, templates, maps)
        # a turned copy with black corners is whole in the other's frame, and not in its own
        found = np.maximum(found, self._laid_over(templates, images, inverse_maps(maps)))
        similarity[left] = np.maximum(similarity[left], found)
        return similarity

    def _learn_background(self) -> Floats:
        """How alike an image and its tenth nearest are: float32 [n], 0 … 5/6; 0 in a set of 20 or fewer."""
        n = len(self._thumbnails)
        if n <= 2 * _BACKGROUND_RANK:
            return np.zeros(n, np.float32)
        references = self._inner_look.own(_inner(self._thumbnails[self._seen]))

        def tenth(part: slice) -> Floats:
            alike = self._inner_look.own(_inner(self._thumbnails[part])) @ references.T
            alike[np.arange(part.start, part.stop)[:, None] == self._seen[None, :]] = -1
            nearest: Floats = np.partition(alike, -_BACKGROUND_RANK, axis=1)[:, -_BACKGROUND_RANK]
            return np.clip(nearest, 0, _MOST_BACKGROUND)

        return _in_blocks(tenth, n)

    def _oriented(self, first: Rows, second: Rows) -> Floats:
        """The first pictures, turned and mirrored so that they resemble the second ones most: float32 [pairs, T, T]."""
        images = self._thumbnails[first].astype(np.float32)
        small, still = shrunk(images, _SMALL_PX), self.small[second]
        alike = [np.einsum("nd,nd->n", self._small_look.own(view), still) for view in orientations(small)]
        best = np.argmax(alike, axis=0)
        for number, view in enumerate(orientations(images)):
            images[best == number] = view[best == number]
        return images

    def _laid_over(self, images: Floats, templates: Floats, maps: Floats) -> Floats:
        moved, overlap = lay_over(images, maps, _INNER_PX)
        own, still = self._inner_look.own(moved), self._inner_look.own(inner_part(templates, _INNER_PX))
        similarity = np.einsum("nd,nd->n", own, still)
        return np.where(overlap >= LEAST_OVERLAP, similarity, -1).astype(np.float32)


def _is_copy(similarity: Floats, around: Floats) -> NDArray[np.bool_]:
    """`around`: 1 − similarity of the background."""
    near = (similarity >= _OWN_SIMILARITY) & (1 - similarity <= _OWN_RATIO * around)
    return np.asarray(near)


def _inner(thumbnails: Bytes) -> Floats:
    return _in_blocks(lambda part: inner_part(thumbnails[part].astype(np.float32), _INNER_PX), len(thumbnails))


def _in_blocks(work: Callable[[slice], Floats], n: int) -> Floats:
    """`work` on 512 rows at a time, so that what lies in between stays small."""
    parts = [work(part) for part in blocks(n)]
    return np.concatenate(parts)
