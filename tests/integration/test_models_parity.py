"""Each definition computes what keras.applications computes with the same weights, in both Keras namespaces."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

import tf_keras  # noqa: E402

from automl_cnn.models.backbone import Application, Backbone  # noqa: E402
from automl_cnn.models.classifier import build_classifier  # noqa: E402
from automl_cnn.models.registry import BACKBONES  # noqa: E402
from automl_cnn.models.spec import ClassifierSpec  # noqa: E402
from automl_cnn.models.weights import Weights, assign_weights, fold_batchnorm  # noqa: E402

CLASSES = 5
# 96 halves evenly down to 3 px; 161 is odd on the way, where padding differs between families.
SIZES_PX = (96, 161)
MOBILENETS = (
    "mobilenet-0.25",
    "mobilenetv2-0.35",
    "mobilenetv3-small-0.75",
    pytest.param("mobilenetv3-large-0.75", marks=pytest.mark.exhaustive),
)


def randomize(network: Any, rng: np.random.Generator) -> None:
    """Weights at random, BatchNormalization's moving statistics included, so that none of them can be left out."""
    for layer in network.layers:
        arrays = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = len(arrays[0])
            gamma, variance = rng.uniform(0.5, 1.5, (2, channels))
            beta, mean = rng.normal(0, 0.3, (2, channels))
            layer.set_weights([gamma, beta, mean, variance])
        elif arrays:
            layer.set_weights([rng.normal(0, array.std() + 0.01, array.shape) for array in arrays])


def application_and_weights(backbone: Backbone, size_px: int) -> tuple[Any, Weights]:
    """A network of keras.applications with random weights, and those weights under our names."""
    known = backbone.weights
    assert isinstance(known, Application)
    constructor = getattr(keras.applications, known.constructor)
    network = constructor(
        weights=None, include_top=False, input_shape=(size_px, size_px, 3), pooling="avg", **known.arguments
    )
    randomize(network, np.random.default_rng(size_px))
    names = known.layers()
    assert {layer.name for layer in network.layers if layer.weights} == set(names.values())
    return network, {ours: network.get_layer(theirs).get_weights() for ours, theirs in names.items()}


def preprocessed(backbone: Backbone, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """What keras.applications asks to be done to pixels: nothing for V3, which has it inside."""
    return pixels if backbone.family == "MobileNetV3" else pixels / 127.5 - 1


@pytest.mark.parametrize("size_px", SIZES_PX)
@pytest.mark.parametrize("name", MOBILENETS)
def test_features_and_logits_are_those_of_keras_applications(name: str, size_px: int) -> None:
    backbone = BACKBONES[name]
    network, weights = application_and_weights(backbone, size_px)
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (2, size_px, size_px, 3)).astype(np.float32)
    features = np.asarray(network(preprocessed(backbone, pixels), training=False))
    head = [rng.normal(0, 0.1, (backbone.width, CLASSES)), rng.normal(size=CLASSES)]
    logits = features @ head[0] + head[1]
    assert features.std() > 0.1  # a dead network would equal anything

    spec, weights = ClassifierSpec(name, size_px, CLASSES), {**weights, "logits": head}
    for namespace, folded in ((keras, False), (tf_keras, True)):
        model = build_classifier(namespace, spec, folded=folded)
        assign_weights(model, fold_batchnorm(weights, backbone.batchnorm_epsilon) if folded else weights)
        outputs = [model.get_layer(layer).output for layer in ("pooled", "logits")]
        ours = namespace.Model(model.inputs[0], outputs)(pixels, training=False)
        assert np.abs(np.asarray(ours[0]) - features).max() <= 1e-4
        assert np.abs(np.asarray(ours[1]) - logits).max() <= 1e-4
