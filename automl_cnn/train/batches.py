"""Training batches from the image store, augmented while the network works on the batch before."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.augment import augment, cached_view
from automl_cnn.data.split_images import load_images
from automl_cnn.data.store import ImageStore

Change = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""(uint8 RGB [S, S, 3], position of the image) → the view that is served."""


@dataclass(frozen=True)
class TrainingImages:
    """Where the images of one side come from and how they are served.

    Attributes:
        store: decoded images at working size.
        rows: int64 [n], rows of the store.
        labels: int64 [n].
        input_size_px: height and width that are served.
        policy: augmentation; none for validation.
        batch_size: images a batch; the last one of an epoch is smaller.
        seed: of order and augmentation.
        forbid_flips: axes along which no image is mirrored.
    """

    store: ImageStore
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    input_size_px: int
    policy: str = "none"
    batch_size: int = 32
    seed: int = 1
    forbid_flips: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return math.ceil(len(self.rows) / self.batch_size)

    def chunks(self, number: int, *, shuffle: bool) -> list[NDArray[np.int64]]:
        """Positions of every image, batch by batch, in the order of an epoch."""
        order = np.arange(len(self.rows))
        if shuffle:
            order = np.random.default_rng([self.seed, number]).permutation(order)
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]

    def epoch(self, number: int, *, shuffle: bool = True) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """Serve every image once, augmented; the same number gives the same batches.

        Yields:
            uint8 [batch, H, W, 3], and labels int64 [batch].
        """

        def drawn(pixels: NDArray[np.uint8], position: int) -> NDArray[np.uint8]:
            rng = np.random.default_rng([self.seed, number, position])
            return augment(pixels, self.policy, rng, self.forbid_flips)

        for chunk, images in self._load_ahead(
            self.chunks(number, shuffle=shuffle), None if self.policy == "none" else drawn
        ):
            yield images, self.labels[chunk]

    def in_order(self, view: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Serve every image once, in order: as it is, or the policy's fixed view of that number.

        Yields:
            uint8 [batch, H, W, 3].
        """

        def fixed(pixels: NDArray[np.uint8], position: int) -> NDArray[np.uint8]:
            assert view is not None
            return cached_view(pixels, self.policy, view, position, self.forbid_flips)

        for _, images in self._load_ahead(self.chunks(0, shuffle=False), None if view is None else fixed):
            yield images

    def _load_ahead(
        self, chunks: list[NDArray[np.int64]], change: Change | None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._load, chunks[0], change)
            for index, chunk in enumerate(chunks):
                images = ahead.result()
                if index + 1 < len(chunks):
                    ahead = pool.submit(self._load, chunks[index + 1], change)
                yield chunk, images

    def _load(self, chunk: NDArray[np.int64], change: Change | None) -> NDArray[np.uint8]:
        images = load_images(self.store, self.rows[chunk], self.input_size_px)
        if change is None:
            return images
        return np.stack([change(pixels, int(position)) for pixels, position in zip(images, chunk, strict=True)])
