"""A frozen backbone as a LiteRT program: on a CPU three times as fast as Keras's own predict (FACTS, docs/features.md).

Built once with TensorFlow, then kept by content; a run that finds it never imports TensorFlow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing
from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.litert import LiteModel
from automl_cnn.models.weights import Weights, assign_weights, digest, load_pretrained
from automl_cnn.quiet import import_quietly, native_messages_dropped

ENGINE_VERSION = 1
BATCH = 8


class FeatureEngine:
    """A frozen network, or the lower part of one, over any number of images.

    Args:
        source: the .tflite file that `build_engine` wrote, or the bytes that `to_litert` gave.
        threads: number of CPU threads; all of this process's by default.
    Attributes:
        output_shape: of one image's features: (d,) where they are pooled, (h, w, channels) where not.
    """

    def __init__(self, source: Path | bytes, threads: int | None = None) -> None:
        self._model = LiteModel(source, threads=threads or available_cpus())
        self._batch = self._model.input_shape[0]
        self.output_shape = self._model.output_shape[1:]

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute features.

        Args:
            images: uint8 RGB [n, H, W, 3] of the engine's input size, any n.
        Returns:
            float32 [n, *output_shape].
        """
        parts = []
        for start in range(0, len(images), self._batch):
            part = images[start : start + self._batch]
            padded = np.zeros(self._model.input_shape, np.uint8)
            padded[: len(part)] = part
            parts.append(self._model.run(padded)[: len(part)])
        return np.concatenate(parts)


def engine_key(backbone: str, input_size_px: int, weights: Weights) -> str:
    """What the engine's output depends on besides the pixels, as a short name for caches."""
    return f"{backbone}-{input_size_px}-{digest(weights)}-v{ENGINE_VERSION}"


def build_engine(backbone: str, input_size_px: int, cache: Path, weights_dir: str | None = None) -> tuple[Path, str]:
    """Find or make the engine of a backbone.

    Args:
        backbone: name in the registry.
        input_size_px: height and width it will be given.
        cache: folder in which engines are kept.
        weights_dir: where weights are looked for first.
    Returns:
        Path of the .tflite file, and its key.
    Raises:
        WeightsError: no pretrained weights can be had.
    """
    weights = load_pretrained(backbone, weights_dir)
    key = engine_key(backbone, input_size_px, weights)
    path = cache / f"{key}.tflite"
    if not path.exists():
        content = _convert(backbone, input_size_px, weights)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return path, key


def to_litert(model: Any) -> bytes:
    """Convert a Keras 3 model to a LiteRT program.

    Args:
        model: float32 images [batch, H, W, 3] in 0…255 to anything; run in inference mode.
    Returns:
        The .tflite file: uint8 images [8, H, W, 3] in, the model's output in float32 out.
    """
    import_quietly("tensorflow")
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((BATCH, *model.input_shape[1:]), tf.uint8)])  # type: ignore[untyped-decorator]
    def run(images: Any) -> Any:
        return model(tf.cast(images, tf.float32), training=False)

    # Naming the Keras 3 model as trackable object keeps variables in the graph and the file computes NaN; without it
    # they are frozen into constants.
    with native_messages_dropped():
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()]).convert())


def _convert(backbone: str, input_size_px: int, weights: Weights) -> bytes:
    import_quietly("keras")
    import keras

    from automl_cnn.models.classifier import build_embedder

    model = build_embedder(keras, backbone, input_size_px)
    assign_weights(model, weights)
    return to_litert(model)
