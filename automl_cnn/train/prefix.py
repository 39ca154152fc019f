"""The frozen blocks run once in the feature engine, so that Keras is left with the blocks that learn.

Two cores, EfficientNet-Lite0 from block 6 up at 160 px: 192 images/s where the whole network trains at 92, and
validation at 880 where it runs at 150 (docs/training.md).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.augment import distinct_views
from automl_cnn.data.decode import shrink
from automl_cnn.features.engine import Engine, FeatureEngine, KerasEngine, gpu_present, to_litert
from automl_cnn.models.classifier import levels
from automl_cnn.progress import Progress, silent
from automl_cnn.train.batches import TrainingImages
from automl_cnn.train.distill import Teacher

LARGEST_IN_MEMORY = 2**30  # bytes of one side's views; more are kept in a temporary file
LARGEST_ON_DISK = 2**33  # more than that is computed anew each epoch


@dataclass(frozen=True)
class Cut:
    """A network divided below the lowest block that learns.

    Attributes:
        prefix: the frozen part; uint8 images in.
        top: the Keras model above it, ending in logits; shares its layers with the whole model.
    """

    prefix: Engine
    top: Any


class Batch(NamedTuple):
    """What one step of training is given.

    Attributes:
        inputs: float32 [b, …], what the prefix makes of the images.
        labels: int64 [b].
        advice: the teacher's logits float32 [b, classes] for the same views; None where there is no teacher.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    advice: NDArray[np.float32] | None


def cut_below(model: Any, unfreeze_from_block: int) -> Cut:
    """Divide a classifier.

    Args:
        model: of `build_classifier`, weights set; left as it is.
        unfreeze_from_block: the lowest block of the top, 1 to 9; 0 leaves the whole network to Keras.
    Returns:
        Prefix and top; one after the other they give the model's logits to 1e-3. The cut lies where everything runs
        through one tensor: below the block, or further down where a shortcut passes it by.
    """
    import keras

    logits = model.get_layer("logits").output
    boundary = next((found for level in range(unfreeze_from_block, 0, -1) if (found := _waist(model, level))), None)
    if boundary is None:
        return Cut(WholeNetwork(model.input_shape[1:]), keras.Model(model.inputs[0], logits))
    prefix = keras.Model(model.inputs[0], boundary[0])
    engine = KerasEngine(prefix) if gpu_present() else FeatureEngine(to_litert(prefix))
    return Cut(engine, keras.Model(boundary[0], logits))


class WholeNetwork:
    """The prefix of a network of which nothing is frozen: the images themselves; see `features.engine.Engine`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.output_shape, self.batch, self.lanes = tuple(shape), 1, 1

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [n, H, W, 3] to the same in float32."""
        return images.astype(np.float32)


class PrefixBatches:
    """Batches for the top: what the prefix makes of the images, and what the teacher says of them.

    With policies of few different views (none, flip, flips) every view is computed once and kept in memory, or on disk
    where it is large; with others every epoch draws new views, computed while the top works on the batch before.

    Args:
        prefix: of `cut_below`.
        images: what to serve; larger images than the prefix takes are shrunk.
        input_size_px: height and width that the prefix takes.
        name: for the progress report.
        progress: told while views are computed.
        teacher: asked about every view.
    """

    def __init__(
        self,
        prefix: Engine,
        images: TrainingImages,
        input_size_px: int,
        name: str,
        progress: Progress = silent,
        teacher: Teacher | None = None,
    ) -> None:
        self._prefix, self._images, self._size_px, self._teacher = prefix, images, input_size_px, teacher
        self.labels, self.steps = images.labels, images.steps
        self._views: list[tuple[NDArray[np.float16], NDArray[np.float32] | None]] = []
        if self.keeps_views:
            fixed = distinct_views(images.policy, images.forbid_flips) or 0
            self._views = [self._compute_view(view, name, progress) for view in (None, *range(fixed))]

    @property
    def keeps_views(self) -> bool:
        """Whether every view is computed once."""
        fixed = distinct_views(self._images.policy, self._images.forbid_flips)
        return fixed is not None and (1 + fixed) * self._view_bytes <= LARGEST_ON_DISK

    def epoch(self, number: int, *, shuffle: bool = True) -> Iterator[Batch]:
        """Serve every image once; the same number gives the same batches. Without `shuffle`, the images as they are."""
        if not self._views:
            yield from self._drawn(number, shuffle)
            return
        chance = np.random.default_rng([self._images.seed, number, 1])
        for chunk in self._images.chunks(number, shuffle=shuffle):
            views = chance.integers(0, len(self._views), len(chunk)) if shuffle else np.zeros(len(chunk), np.int64)
            kept = [self._views[view] for view in views]
            inputs = np.stack([values[row] for (values, _), row in zip(kept, chunk, strict=True)]).astype(np.float32)
            said = [advice[row] for (_, advice), row in zip(kept, chunk, strict=True) if advice is not None]
            yield Batch(inputs, self.labels[chunk], np.stack(said) if said else None)

    @property
    def _view_bytes(self) -> int:
        return 2 * math.prod(self._prefix.output_shape) * len(self._images.rows)

    def _drawn(self, number: int, shuffle: bool) -> Iterator[Batch]:
        with ThreadPoolExecutor(1) as pool:
            ahead = None
            for images, labels in self._images.epoch(number, shuffle=shuffle):
                started = pool.submit(self._computed, images)
                if ahead is not None:
                    yield Batch(ahead[0].result()[0], ahead[1], ahead[0].result()[1])
                ahead = started, labels
            if ahead is not None:
                yield Batch(ahead[0].result()[0], ahead[1], ahead[0].result()[1])

    def _compute_view(
        self, view: int | None, name: str, progress: Progress
    ) -> tuple[NDArray[np.float16], NDArray[np.float32] | None]:
        shape = (len(self.labels), *self._prefix.output_shape)
        values, advice, done = self._room(shape), [], 0
        label = f"frozen blocks, {name}{'' if view is None else f' view {view + 1}'}"
        for images in self._images.in_order(view):
            inputs, said = self._computed(images)
            values[done : done + len(images)] = inputs
            done += len(images)
            if said is not None:
                advice.append(said)
            progress(label, done, len(self.labels))
        return values, np.concatenate(advice) if advice else None

    def _room(self, shape: tuple[int, ...]) -> NDArray[np.float16]:
        if self._view_bytes <= LARGEST_IN_MEMORY:
            return np.empty(shape, np.float16)
        with tempfile.TemporaryFile(prefix="automl-cnn-") as file:  # the mapping outlives the name and frees the disk
            return np.memmap(file, np.float16, "w+", shape=shape)

    def _computed(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        said = self._teacher.engine.embed(_sized(images, self._teacher.input_size_px)) if self._teacher else None
        return self._prefix.embed(_sized(images, self._size_px)), said


def _waist(model: Any, lowest: int) -> list[Any] | None:
    """The one tensor that everything from level `lowest` up takes from below; None if there are several."""
    level = levels(model)
    reached: dict[
        int, int
    ] = {}  # id of an operation → its level; one without a name in `levels` has that of its inputs
    crossing: dict[int, Any] = {}
    for operation in model.operations:
        inputs = [] if operation is model.operations[0] else operation._inbound_nodes[0].input_tensors
        below = [reached[id(tensor._keras_history.operation)] for tensor in inputs]
        own = max([level.get(operation.name, 0), *below])
        reached[id(operation)] = own
        if own >= lowest:
            crossing |= {id(t): t for t, from_level in zip(inputs, below, strict=True) if from_level < lowest}
    return list(crossing.values()) if len(crossing) == 1 else None


def _sized(images: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    if images.shape[1] == size_px:
        return images
    return np.stack([shrink(pixels, size_px) for pixels in images])
