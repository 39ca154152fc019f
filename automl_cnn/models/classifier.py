"""A whole network, pixels in and probabilities out, from a ClassifierSpec; for Keras 3 and tf_keras alike."""

from __future__ import annotations

import re
from typing import Any

from automl_cnn.errors import AutoMLError, ConfigError
from automl_cnn.models import efficientnet_lite
from automl_cnn.models.spec import ClassifierSpec

BACKBONES = tuple(name for name in efficientnet_lite.VARIANTS if name[-1] in "012")  # those whose weights can be had
TOP_BLOCK, HEAD_BLOCK = 8, 9


def build_classifier(keras: Any, spec: ClassifierSpec, *, folded: bool = False) -> Any:
    """Build the flat functional model of a spec, with random weights.

    Args:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        spec: what to build.
        folded: without BatchNormalization; see `models.weights.fold_batchnorm`.
    Returns:
        A model from float32 [batch, height, width, 3] RGB in 0…255 to float32 [batch, classes] probabilities. The layer
        `pooled` gives the features, `logits` what stands before the softmax.
    Raises:
        ConfigError: the backbone is unknown.
    """
    inputs, pooled = _pooled_backbone(keras, spec.backbone, spec.input_size_px, folded=folded)
    x = keras.layers.Dropout(spec.dropout, name="dropout")(pooled)
    if spec.hidden_units:
        x = keras.layers.Dense(spec.hidden_units, name="hidden")(x)
        x = keras.layers.ReLU(max_value=6.0, name="hidden_relu")(x)
        x = keras.layers.Dropout(spec.dropout, name="hidden_dropout")(x)
    logits = keras.layers.Dense(spec.classes, name="logits")(x)
    return keras.Model(inputs, keras.layers.Softmax(name="probabilities")(logits), name="classifier")


def build_embedder(keras: Any, backbone: str, input_size_px: int) -> Any:
    """The backbone alone: float32 [batch, height, width, 3] in 0…255 to pooled features float32 [batch, 1280]."""
    return keras.Model(*_pooled_backbone(keras, backbone, input_size_px, folded=False), name="embedder")


def check_backbone(name: str, where: str = "search.backbones") -> None:
    """Raise ConfigError, naming the key, if `name` is not a backbone that can be built here."""
    if name not in BACKBONES:
        raise ConfigError(
            [
                AutoMLError(
                    where, expected=f"one of {', '.join(BACKBONES)}", received=repr(name), action="Name one of them."
                )
            ]
        )


def block_of(layer_name: str) -> int:
    """How high a layer stands: 0 for input and stem, 1 to 7 for the blocks, 8 for the top convolution, 9 the head."""
    if found := re.match(r"block(\d)", layer_name):
        return int(found[1])
    if layer_name.startswith("top_"):
        return TOP_BLOCK
    return HEAD_BLOCK if re.match(r"pooled|hidden|dropout|logits|probabilities", layer_name) else 0


def _pooled_backbone(keras: Any, backbone: str, input_size_px: int, *, folded: bool) -> tuple[Any, Any]:
    check_backbone(backbone)
    variant = efficientnet_lite.VARIANTS[backbone]
    inputs = keras.Input((input_size_px, input_size_px, 3), name="image")
    # Normalization is a frozen 1×1 depthwise convolution because that is what quantizes without a float tensor.
    x = keras.layers.DepthwiseConv2D(1, name="normalize", trainable=False)(inputs)
    x = efficientnet_lite.build(keras, x, variant, folded=folded)
    return inputs, keras.layers.GlobalAveragePooling2D(name="pooled")(x)
