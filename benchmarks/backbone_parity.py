"""Whether a definition computes what keras.applications computes: the same weights, raw pixels into both."""

from __future__ import annotations

import inspect
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from automl_cnn.models.applications import weights_of
from automl_cnn.models.backbone import Application, Backbone
from automl_cnn.models.classifier import build_classifier
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, assign_weights, fold_batchnorm

CLASSES, IMAGES = 5, 8
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Reference:
    """What keras.applications makes of some images.

    Attributes:
        pixels: float32 [images, size, size, 3] in 0…255.
        features: [images, width], averaged over the last map, in Keras' float type.
        logits: float64 [images, classes] of a random linear head.
        weights: random ones of the network, under our layer names, the head's among them.
    """

    pixels: NDArray[np.float32]
    features: NDArray[np.floating[Any]]
    logits: NDArray[np.float64]
    weights: Weights


@dataclass(frozen=True)
class Difference:
    """The largest absolute difference in features and in logits."""

    features: float
    logits: float


def reference(backbone: Backbone, size_px: int, seed: int) -> Reference:
    """Run the keras.applications network of a backbone, its own preprocessing included, with random weights."""
    import keras

    known = backbone.weights
    assert isinstance(known, Application)
    rng = np.random.default_rng(seed)
    constructor = getattr(keras.applications, known.constructor)
    pixels = _pictures(size_px, rng)
    network = _network(constructor, known.arguments, pixels, rng)
    features = np.asarray(network(_preprocessed(constructor, pixels), training=False)).mean(axis=(1, 2))
    if backbone.keras_only:
        weights = weights_of(network, backbone.name)
    else:
        weights = {ours: network.get_layer(theirs).get_weights() for ours, theirs in known.layers().items()}
    kernel, bias = rng.normal(0, 0.1, (backbone.width, CLASSES)), rng.normal(size=CLASSES)
    weights["logits"] = [kernel, bias]
    return Reference(pixels, features, features @ kernel + bias, weights)


def difference(backbone: Backbone, expected: Reference, keras: Any, *, folded: bool = False) -> Difference:
    """Build our definition in a Keras namespace, give it the reference's weights, and compare."""
    spec = ClassifierSpec(backbone.name, expected.pixels.shape[1], CLASSES)
    model = build_classifier(keras, spec, folded=folded)
    assign_weights(model, fold_batchnorm(expected.weights, backbone.batchnorm_epsilon) if folded else expected.weights)
    both = keras.Model(model.inputs[0], [model.get_layer(name).output for name in ("pooled", "logits")])
    features, logits = (np.asarray(part) for part in both(expected.pixels, training=False))
    return Difference(float(np.abs(features - expected.features).max()), float(np.abs(logits - expected.logits).max()))


def _pictures(size_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Patches of colour with some noise: of noise alone, every picture would look the same to a network."""
    patches = rng.integers(0, 256, (IMAGES, 4, 4, 3)).repeat(-(-size_px // 4), axis=1).repeat(-(-size_px // 4), axis=2)
    noisy = patches[:, :size_px, :size_px] + rng.normal(0, 10, (IMAGES, size_px, size_px, 3))
    return np.clip(noisy, 0, 255).round().astype(np.float32)


def _network(
    constructor: Any, arguments: Mapping[str, Any], pixels: NDArray[np.float32], rng: np.random.Generator
) -> Any:
    # without our include_preprocessing=False: where Keras has the preprocessing inside, it is part of what is compared
    arguments = {key: value for key, value in arguments.items() if key != "include_preprocessing"}
    arguments = {**arguments, "include_top": False, "input_shape": pixels.shape[1:]}
    network = constructor(weights=None, **arguments)
    if constructor.__name__.startswith("EfficientNetB"):
        network = _built_for_imagenet(constructor, arguments, network)
    _randomize(network, _preprocessed(constructor, pixels), rng)
    return network


def _preprocessed(constructor: Any, pixels: NDArray[np.float32]) -> Any:
    """What Keras' own function for this network makes of pixels; nothing where the network does it inside."""
    return sys.modules[inspect.unwrap(constructor).__module__].preprocess_input(pixels.copy())


def _randomize(network: Any, images: Any, rng: np.random.Generator) -> None:
    """Random weights, and moving statistics that belong to them, so that nothing that is left out can go unseen.

    With statistics that do not belong, signals die away or grow from layer to layer: then all images look the same,
    or rounding becomes a difference.
    """
    for layer in network.layers:
        if type(layer).__name__ == "Normalization" and layer.weights:
            # as in the official file: deviations stand where variances belong
            layer.set_weights([np.array(IMAGENET_MEAN), np.array(IMAGENET_DEVIATION), *layer.get_weights()[2:]])
            layer.finalize_state()
            continue
        layer.set_weights([_random_array(weight.name, weight.shape, rng) for weight in layer.weights])
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = 0.0
        if type(layer).__name__ == "Dropout":
            layer.rate = 0.0
    network(images, training=True)


def _random_array(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    if name in ("gamma", "moving_variance"):
        return rng.uniform(0.7, 1.3, shape)
    if "kernel" in name:
        fan_in = np.prod(shape[:2]) if "depthwise" in name else np.prod(shape[:-1])
        return rng.normal(0, 1.4 / np.sqrt(fan_in), shape)
    return rng.normal(0, 0.1, shape)


def _built_for_imagenet(constructor: Any, arguments: Mapping[str, Any], network: Any) -> Any:
    """The network as Keras builds it for its ImageNet weights, which has one layer more; the file is another."""
    from keras.src.utils import file_utils

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.weights.h5"
        network.save_weights(path)
        with mock.patch.object(file_utils, "get_file", return_value=str(path)):
            return constructor(weights="imagenet", **arguments)
