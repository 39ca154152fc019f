"""EfficientNets and adapted networks compute what keras.applications computes, its own preprocessing included."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import tf_keras  # noqa: E402
from backbone_parity import difference, reference  # noqa: E402
from keras_counts import count  # noqa: E402

from automl_cnn.errors import ConfigError, QuantizeError  # noqa: E402
from automl_cnn.models.anatomy import anatomy_of  # noqa: E402
from automl_cnn.models.applications import build  # noqa: E402
from automl_cnn.models.classifier import build_classifier, build_embedder  # noqa: E402
from automl_cnn.models.registry import BACKBONES, backbone_of  # noqa: E402
from automl_cnn.models.spec import ClassifierSpec  # noqa: E402

TOLERANCE = 1e-4


@pytest.mark.parametrize(("name", "size_px"), [("efficientnet-b0", 130), ("efficientnetv2-b0", 96)])
def test_features_and_logits_are_those_of_keras_applications(name: str, size_px: int) -> None:
    backbone = BACKBONES[name]
    expected = reference(backbone, size_px, seed=1)
    assert np.abs(expected.features[0] - expected.features[1]).max() > 0.5  # the images do make a difference
    for namespace, folded in ((keras, False), (tf_keras, True)):
        found = difference(backbone, expected, namespace, folded=folded)
        assert max(found.features, found.logits) <= TOLERANCE


@pytest.mark.parametrize("name", [pytest.param("VGG16", marks=pytest.mark.exhaustive), "Xception"])
def test_an_adapted_network_takes_raw_rgb_and_gives_the_same(name: str) -> None:
    backbone = backbone_of(name)
    expected = reference(backbone, 96, seed=1)
    assert np.abs(expected.features[0] - expected.features[1]).max() > 0.1
    scale = max(1.0, np.abs(expected.features).max())  # VGG16 normalizes nothing: its features go into the hundreds
    assert difference(backbone, expected, keras).features <= TOLERANCE * scale


@pytest.mark.parametrize("name", ["efficientnet-b2", "efficientnetv2-b2"])
def test_wider_and_deeper_variants_have_the_layers_of_keras_applications(name: str) -> None:
    backbone = BACKBONES[name]
    known = backbone.weights
    with keras.StatelessScope():  # shapes alone
        theirs = getattr(keras.applications, known.constructor)(weights=None, include_top=False)
        ours = build_embedder_without_values(name)
    names = known.layers()
    shapes = {
        layer.name: [weight.shape for weight in layer.weights]
        for layer in theirs.layers
        if layer.weights and type(layer).__name__ != "Normalization"
    }
    assert {
        names[layer.name]: [weight.shape for weight in layer.weights] for layer in ours.layers if layer.weights
    } == shapes


def build_embedder_without_values(name: str) -> object:
    inputs = keras.Input((96, 96, 3))
    return keras.Model(inputs, BACKBONES[name].build(keras, inputs, folded=False))


@pytest.mark.parametrize("name", ["smallnet", "lenet5", "mobilenetv3-small-1.0", "efficientnetv2-b0"])
def test_counts_are_those_of_keras(name: str) -> None:
    inputs = keras.Input((96, 96, 3))
    with keras.StatelessScope():
        model = keras.Model(inputs, BACKBONES[name].build(keras, inputs, folded=False))
    assert anatomy_of(BACKBONES[name], 96) == count(model)


@pytest.mark.parametrize("name", ["VGG16", "ConvNeXtTiny"])
def test_counts_on_record_are_those_of_keras(name: str) -> None:
    inputs = keras.Input((224, 224, 3))
    with keras.StatelessScope():
        model = keras.Model(inputs, build(keras, inputs, name))
    assert anatomy_of(backbone_of(name), 224) == count(model)


def test_names_of_an_adapted_network_do_not_depend_on_what_was_built_before() -> None:
    inputs = keras.Input((96, 96, 3))
    with keras.StatelessScope():
        first, second = (keras.Model(inputs, build(keras, inputs, "InceptionV3")) for _ in range(2))
    assert [layer.name for layer in first.layers[1:]] == [layer.name for layer in second.layers[1:]]


def test_an_adapted_network_is_flat() -> None:
    inputs = keras.Input((64, 64, 3))
    with keras.StatelessScope():
        model = keras.Model(inputs, build(keras, inputs, "ConvNeXtTiny"))
    assert not [layer.name for layer in model.layers if isinstance(layer, keras.Model)]


def test_an_adapted_network_is_not_folded_and_says_what_is() -> None:
    with pytest.raises(QuantizeError, match="automl-cnn backbones"):
        build(keras, keras.Input((96, 96, 3)), "VGG16", folded=True)


def test_an_image_that_is_too_small_for_a_network_is_said() -> None:
    with pytest.raises(ConfigError, match="75 or more for InceptionV3"):
        build_embedder(keras, "InceptionV3", 64)


@pytest.mark.parametrize("name", ["lenet5", "smallnet"])
def test_networks_from_scratch_exist_in_both_namespaces(name: str) -> None:
    spec = ClassifierSpec(name, 64, 3)
    shapes = [
        {layer.name: [tuple(array.shape) for array in layer.get_weights()] for layer in model.layers}
        for model in (build_classifier(namespace, spec) for namespace in (keras, tf_keras))
    ]
    assert shapes[0] == shapes[1]
