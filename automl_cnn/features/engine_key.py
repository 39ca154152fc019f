"""What a feature depends on besides the picture, as a short name; told without TensorFlow."""

from __future__ import annotations

from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import Pooling
from automl_cnn.models.weights import digest, load_pretrained

ENGINE_VERSION = 2  # raise it when the same weights and pixels give other features


def engine_key(backbone: str, input_size_px: int, weights_dir: str | None = None, pooling: Pooling = "average") -> str:
    """Name the engine of a backbone; the LiteRT and the Keras engine share it, as their features do.

    Args:
        backbone: name in the registry.
        input_size_px: height and width it will be given.
        weights_dir: where weights are looked for first.
        pooling: how the last feature map becomes a vector.
    Raises:
        WeightsError: no pretrained weights can be had.
    """
    name = backbone_of(backbone).name
    return f"{name}-{input_size_px}-{pooling}-{digest(load_pretrained(name, weights_dir))}-v{ENGINE_VERSION}"
