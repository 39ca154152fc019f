"""The frozen blocks run once in LiteRT, so that Keras is left with the blocks that learn.

Two cores, EfficientNet-Lite0 from block 6 up at 160 px: 192 images/s where the whole network trains at 92, and
validation at 880 where it runs at 150 (docs/training.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.features.engine import FeatureEngine, to_litert
from automl_cnn.models.classifier import levels
from automl_cnn.progress import Progress, silent
from automl_cnn.train.batches import TrainingImages

LARGEST_CACHE_BYTES = 2**30
FIXED_VIEWS = {"none": (False,), "flip": (False, True)}  # whether a view is mirrored, for policies with few views


@dataclass(frozen=True)
class Cut:
    """A network divided below the lowest block that learns.

    Attributes:
        prefix: the frozen part as a LiteRT program; uint8 images in.
        top: the Keras model above it, ending in logits; shares its layers with the whole model.
    """

    prefix: FeatureEngine
    top: Any


def cut_below(model: Any, unfreeze_from_block: int) -> Cut:
    """Divide a classifier.

    Args:
        model: of `build_classifier`, weights set; left as it is.
        unfreeze_from_block: the lowest block of the top, 1 to 9.
    Returns:
        Prefix and top; one after the other they give the model's logits to 1e-3.
    """
    import keras

    level = levels(model)
    lowest = next(layer for layer in model.layers if level[layer.name] >= unfreeze_from_block)
    boundary = lowest.input  # blocks begin with a change of width, so no shortcut crosses the boundary
    prefix = keras.Model(model.inputs[0], boundary)
    top = keras.Model(boundary, model.get_layer("logits").output)
    return Cut(FeatureEngine(to_litert(prefix)), top)


class PrefixBatches:
    """Batches for the top: what the prefix makes of the images.

    With the policies none and flip every view is computed once and kept; with others every epoch draws new views,
    computed while the top works on the batch before.

    Args:
        prefix: of `cut_below`.
        images: what to serve.
        name: for the progress report.
        progress: told while views are computed.
    """

    def __init__(self, prefix: FeatureEngine, images: TrainingImages, name: str, progress: Progress = silent) -> None:
        self._prefix, self._images = prefix, images
        self.labels, self.steps = images.labels, images.steps
        self._views: list[NDArray[np.float16]] = []
        mirrored = FIXED_VIEWS.get(images.policy, ())
        if 2 * math.prod(prefix.output_shape) * len(images.rows) * len(mirrored) <= LARGEST_CACHE_BYTES:
            self._views = [self._compute_view(mirror, name, progress) for mirror in mirrored]

    def epoch(self, number: int, *, shuffle: bool = True) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """As `TrainingImages.epoch`, with the prefix's output in place of images."""
        if not self._views:
            yield from self._drawn(number, shuffle)
            return
        chance = np.random.default_rng([self._images.seed, number, 1])
        for chunk in self._images.chunks(number, shuffle=shuffle):
            views = chance.integers(0, len(self._views), len(chunk)) if shuffle else np.zeros(len(chunk), np.int64)
            batch = [self._views[view][row] for view, row in zip(views, chunk, strict=True)]
            yield np.stack(batch).astype(np.float32), self.labels[chunk]

    def _drawn(self, number: int, shuffle: bool) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        with ThreadPoolExecutor(1) as pool:
            ahead = None
            for images, labels in self._images.epoch(number, shuffle=shuffle):
                started = pool.submit(self._prefix.embed, images)
                if ahead is not None:
                    yield ahead[0].result(), ahead[1]
                ahead = started, labels
            if ahead is not None:
                yield ahead[0].result(), ahead[1]

    def _compute_view(self, mirror: bool, name: str, progress: Progress) -> NDArray[np.float16]:
        parts = []
        label = f"frozen blocks, {name}{' mirrored' if mirror else ''}"
        for images in self._images.in_order():
            parts.append(self._prefix.embed(images[:, :, ::-1] if mirror else images).astype(np.float16))
            progress(label, min(len(parts) * self._images.batch_size, len(self.labels)), len(self.labels))
        return np.concatenate(parts)
