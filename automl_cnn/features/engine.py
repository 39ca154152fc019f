"""A frozen network as something that turns images into vectors: LiteRT on a CPU, Keras on a GPU.

On a CPU LiteRT with XNNPACK is three times as fast as Keras's own predict (benchmarks/features.py). It is converted
once with TensorFlow, then kept by content; a run that finds it never imports TensorFlow.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing
from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.features.frozen import FrozenNetwork
from automl_cnn.litert import MOST_COPIES, LiteModel
from automl_cnn.quiet import import_quietly, native_messages_dropped

BATCH = 8
GPU_BATCH = 64
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd")  # NVIDIA's driver, AMD's


class Engine(Protocol):
    """What computes features; safe to call from several threads."""

    output_shape: tuple[int, ...]
    batch: int
    lanes: int

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [n, H, W, 3], any n, to float32 [n, *output_shape]."""


class FeatureEngine:
    """A frozen network, or the lower part of one, in LiteRT.

    Args:
        source: the .tflite file that `build_engine` wrote, or the bytes that `to_litert` gave.
        threads: number of CPU threads; all of this process's by default.
        lanes: copies of the network that run side by side; the threads are shared out among them.
    Attributes:
        output_shape: of one image's features: (d,) where they are pooled, (h, w, channels) where not.
        batch: images that are computed at once.
        lanes: how many callers are served at once.
    """

    def __init__(self, source: Path | bytes, threads: int | None = None, lanes: int = 1) -> None:
        threads = threads or available_cpus()
        models = [LiteModel(source, threads=max(1, threads // lanes)) for _ in range(lanes)]
        self._idle: queue.SimpleQueue[LiteModel] = queue.SimpleQueue()
        for model in models:
            self._idle.put(model)
        self._input_shape = models[0].input_shape
        self.output_shape = models[0].output_shape[1:]
        self.batch, self.lanes = self._input_shape[0], lanes

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute features.

        Args:
            images: uint8 RGB [n, H, W, 3] of the engine's input size, any n.
        Returns:
            float32 [n, *output_shape].
        """
        features = np.empty((len(images), *self.output_shape), np.float32)
        with self._one() as model:
            for start in range(0, len(images), self.batch):
                part = images[start : start + self.batch]
                if len(part) < self.batch:
                    part = np.concatenate([part, np.zeros((self.batch - len(part), *part.shape[1:]), np.uint8)])
                features[start : start + self.batch] = model.run(part)[: len(features) - start]
        return features

    @contextmanager
    def _one(self) -> Iterator[LiteModel]:
        model = self._idle.get()
        try:
            yield model
        finally:
            self._idle.put(model)


class KerasEngine:
    """The same on whatever device TensorFlow chose.

    Args:
        model: float32 images [batch, H, W, 3] in 0…255 to anything; run in inference mode.
    Attributes:
        output_shape, batch, lanes: as of FeatureEngine.
    """

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        # a fixed batch: TensorFlow traces and plans the graph once
        signature = [tf.TensorSpec((GPU_BATCH, *model.input_shape[1:]), tf.uint8)]
        self._run = tf.function(lambda images: model(tf.cast(images, tf.float32), training=False), signature)
        self.output_shape: tuple[int, ...] = tuple(model.output_shape[1:])
        self.batch, self.lanes = GPU_BATCH, 1

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As `FeatureEngine.embed`."""
        parts = [np.empty((0, *self.output_shape), np.float32)]
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            padding = np.zeros((self.batch - len(part), *images.shape[1:]), np.uint8)
            parts.append(np.asarray(self._run(np.concatenate([part, padding])), np.float32)[: len(part)])
        return np.concatenate(parts)


def open_engine(network: FrozenNetwork, cache: Path) -> Engine:
    """The engine that suits this machine.

    Args:
        network: what it computes.
        cache: folder in which LiteRT programs are kept.
    Raises:
        WeightsError: no pretrained weights can be had.
    """
    if gpu_present():
        return KerasEngine(pretrained_embedder(network))
    return FeatureEngine(build_engine(network, cache), lanes=min(available_cpus(), MOST_COPIES))


def gpu_present() -> bool:
    """Whether TensorFlow sees a GPU; not asked, as it takes ten seconds, where no driver is."""
    if not any(Path(device).exists() for device in _GPU_DEVICES):
        return False
    import_quietly("tensorflow")
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def build_engine(network: FrozenNetwork, cache: Path) -> Path:
    """Find or make the LiteRT program of a network: a .tflite file called after its key.

    Args:
        network, cache: as in `open_engine`.
    Raises:
        WeightsError: no pretrained weights can be had.
    """
    path = cache / f"{network.key()}.tflite"
    if path.exists():
        with suppress(OSError):
            os.utime(path)  # `automl-cnn cache` tells when it was last used
    else:
        content = to_litert(pretrained_embedder(network))
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return path


def to_litert(model: Any, batch: int = BATCH) -> bytes:
    """Convert a Keras 3 model to a LiteRT program.

    Args:
        model: float32 images [batch, H, W, 3] in 0…255 to anything; run in inference mode.
        batch: how many images the program takes at once.
    Returns:
        The .tflite file: uint8 images [batch, H, W, 3] in, the model's output in float32 out.
    """
    import_quietly("tensorflow")
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((batch, *model.input_shape[1:]), tf.uint8)])  # type: ignore[untyped-decorator]
    def run(images: Any) -> Any:
        return model(tf.cast(images, tf.float32), training=False)

    # Naming the Keras 3 model as trackable object keeps variables in the graph and the file computes NaN; without it
    # they are frozen into constants.
    with native_messages_dropped():
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()]).convert())


def pretrained_embedder(network: FrozenNetwork) -> Any:
    """The Keras 3 model that engines are made of: pooled features of float32 images in 0…255."""
    import_quietly("keras")
    import keras

    from automl_cnn.models.classifier import build_embedder
    from automl_cnn.models.weights import assign_weights

    weights = network.load()
    model = build_embedder(keras, network.backbone, network.input_size_px, network.pooling)
    assign_weights(model, weights)
    return model
