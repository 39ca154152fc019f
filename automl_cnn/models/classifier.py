"""A whole network, pixels in and probabilities out, from a ClassifierSpec; for Keras 3 and tf_keras alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import numpy as np

from automl_cnn.models.backbone import Backbone
from automl_cnn.models.layers import with_constant
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import ClassifierSpec, Pooling

TOP_BLOCK, TOP, HEAD = 7, 8, 9
POOLED = "pooled"  # the layer that gives the features
GEM_POWER, GEM_FLOOR = 3, 1e-6


def build_classifier(keras: Any, spec: ClassifierSpec, *, folded: bool = False) -> Any:
    """Build the flat functional model of a spec, with random weights.

    Args:
        keras: the namespace to build in: `keras` (3) or `tf_keras`.
        spec: what to build.
        folded: without BatchNormalization; see `models.weights.fold_batchnorm`.
    Returns:
        A model from float32 [batch, height, width, 3] RGB in 0…255 to float32 [batch, classes] probabilities. The layer
        `pooled` gives the features, `logits` what stands before the softmax. `normalize` has its values already.
    Raises:
        ConfigError: the backbone is unknown.
    """
    backbone = backbone_of(spec.backbone)
    inputs, pooled = _pooled_backbone(keras, backbone, spec.input_size_px, spec.pooling, folded=folded)
    x = keras.layers.Dropout(spec.dropout, name="dropout")(pooled)
    if spec.hidden_units:
        x = keras.layers.Dense(spec.hidden_units, name="hidden")(x)
        x = keras.layers.ReLU(max_value=6.0, name="hidden_relu")(x)
        x = keras.layers.Dropout(spec.dropout, name="hidden_dropout")(x)
    logits = keras.layers.Dense(spec.classes, name="logits")(x)
    model = keras.Model(inputs, keras.layers.Softmax(name="probabilities")(logits), name="classifier")
    return _with_normalization(model, backbone)


def build_embedder(keras: Any, backbone: str, input_size_px: int, pooling: Pooling = "average") -> Any:
    """The backbone alone: float32 [batch, height, width, 3] in 0…255 to pooled features float32 [batch, width]."""
    known = backbone_of(backbone)
    model = keras.Model(*_pooled_backbone(keras, known, input_size_px, pooling, folded=False), name="embedder")
    return _with_normalization(model, known)


def levels(model: Any) -> dict[str, int]:
    """How high each layer of a network stands, so that fine-tuning depth means the same for every network.

    Args:
        model: from `build_classifier` or `build_embedder`.
    Returns:
        Layer name → 0 for input and stem, 1 to 7 for the blocks, 8 for the top convolution, 9 for the head. The last
        stage of a network is always 7, so a network of five stages has 3 to 7. A network from keras.applications has
        no top; it is cut where its whole graph runs through one tensor, into up to 7 parts of about as many parameters.
    """
    names = [layer.name for layer in model.layers]
    if any(_stage(name) for name in names):
        return levels_by_name(names)
    return {**_levels_by_parameters(model), **{name: HEAD for name in names if is_head(name)}}


def levels_by_name(names: Iterable[str]) -> dict[str, int]:
    """As `levels`, for the layer names of a network that is defined here."""
    names = list(names)
    lift = TOP_BLOCK - max(_stage(name) for name in names)

    def level(name: str) -> int:
        if stage := _stage(name):
            return stage + lift
        if name.startswith("top_"):
            return TOP
        return HEAD if is_head(name) else 0

    return {name: level(name) for name in names}


def _pooled_backbone(
    keras: Any, backbone: Backbone, input_size_px: int, pooling: Pooling, *, folded: bool
) -> tuple[Any, Any]:
    inputs = keras.Input((input_size_px, input_size_px, 3), name="image")
    # Normalization is a frozen 1×1 depthwise convolution because that is what quantizes without a float tensor.
    x = keras.layers.DepthwiseConv2D(1, name="normalize", trainable=False)(inputs)
    x = backbone.build(keras, x, folded=folded)
    return inputs, _pool(keras, x, pooling)


def _pool(keras: Any, x: Any, pooling: Pooling) -> Any:
    if pooling == "average":
        return keras.layers.GlobalAveragePooling2D(name=POOLED)(x)
    # Generalized mean (Radenović et al. 2019): the cubic mean of what is positive. The floor keeps the gradient of the
    # root finite where a channel is dead.
    constant = with_constant(keras)
    x = keras.layers.ReLU(name="pooled_relu")(x)
    x = constant("power", GEM_POWER, name="pooled_cube")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled_mean")(x)
    x = constant("add", GEM_FLOOR, name="pooled_floor")(x)
    return constant("power", 1 / GEM_POWER, name=POOLED)(x)


def _with_normalization(model: Any, backbone: Backbone) -> Any:
    model.get_layer("normalize").set_weights(backbone.normalization.arrays())
    return model


def _stage(layer_name: str) -> int:
    found = re.match(r"block([1-7])[a-z]_", layer_name)
    return int(found[1]) if found else 0


def is_head(layer_name: str) -> bool:
    """Whether a layer stands behind the last feature map: pooling, dropout, hidden, logits, probabilities."""
    return re.match(r"pooled|hidden|dropout|logits|probabilities", layer_name) is not None


def _levels_by_parameters(model: Any) -> dict[str, int]:
    """Levels of an adapter's layers: parts between two cut points stay together."""
    operations = [operation for operation in model.operations if not is_head(operation.name)]
    place = {id(operation): index for index, operation in enumerate(operations)}
    last_use = list(range(len(operations)))
    for index, operation in enumerate(operations):
        for tensor in operation._inbound_nodes[0].input_tensors:
            source = place[id(tensor._keras_history.operation)]
            last_use[source] = max(last_use[source], index)
    # After operation i only its own output is needed when nothing before it is used later.
    reach = list(accumulate(last_use, max))
    cuts = [index for index in range(len(operations)) if index == 0 or reach[index - 1] <= index]
    counts = [sum(int(np.prod(weight.shape)) for weight in getattr(part, "weights", [])) for part in operations]
    before = np.concatenate([[0], np.cumsum(counts)])
    stem = next(index for index, part in enumerate(operations) if part.name != "normalize" and hasattr(part, "kernel"))
    found, highest = {}, 0
    for start, end in zip([0, *(cut + 1 for cut in cuts)], [*(cut + 1 for cut in cuts), len(operations)], strict=True):
        middle = (before[start] + before[end]) / 2 / before[-1]
        level = 0 if end <= stem + 1 else 1 + int(TOP_BLOCK * min(middle, 0.999))
        found.update({part.name: level for part in operations[start:end]})
        highest = level if before[end] > before[start] else highest
    lift = TOP_BLOCK - highest  # NASNet can be cut nowhere above its stem, and yet has a last part
    kept = {layer.name for layer in model.layers}
    return {name: level and min(TOP_BLOCK, level + lift) for name, level in found.items() if name in kept}
