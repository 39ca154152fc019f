"""The same network in every form: pretrained, folded, as a LiteRT program."""

from pathlib import Path

import numpy as np
import pytest

from automl_cnn.features.engine import FeatureEngine, build_engine
from automl_cnn.features.frozen import FrozenNetwork
from automl_cnn.models.classifier import build_classifier, build_embedder, levels
from automl_cnn.models.layers import BATCHNORM_EPSILON
from automl_cnn.models.pretrained import load
from automl_cnn.models.registry import BACKBONES
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import assign_weights, extract_weights, fold_batchnorm

keras = pytest.importorskip("keras")
SIZE_PX = 64


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Four smooth real-looking pictures: blobs of colour, as noise alone saturates ReLU6."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 4, 4, 3)).astype(np.uint8)
    return coarse.repeat(SIZE_PX // 4, axis=1).repeat(SIZE_PX // 4, axis=2)


@pytest.mark.parametrize("backbone", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_pretrained_weights_fit_every_layer(backbone: str) -> None:
    model = build_embedder(keras, backbone, SIZE_PX)
    weights = load(backbone)
    assign_weights(model, weights)
    assert set(extract_weights(model)) == set(weights)


def test_folding_batchnorm_keeps_the_logits(images: np.ndarray) -> None:
    spec = ClassifierSpec("efficientnet-lite0", SIZE_PX, 3, hidden_units=8)
    model, folded = build_classifier(keras, spec), build_classifier(keras, spec, folded=True)
    assign_weights(model, load(spec.backbone))
    assign_weights(folded, fold_batchnorm(extract_weights(model), BATCHNORM_EPSILON))
    logits = [
        np.asarray(keras.Model(m.inputs, m.get_layer("logits").output)(images.astype(np.float32)))
        for m in (model, folded)
    ]
    assert np.abs(logits[0] - logits[1]).max() <= 1e-4


def test_the_litert_engine_gives_the_features_of_keras(images: np.ndarray, tmp_path: Path) -> None:
    path = build_engine(FrozenNetwork("efficientnet-lite0", SIZE_PX), tmp_path)
    model = build_embedder(keras, "efficientnet-lite0", SIZE_PX)
    assign_weights(model, load("efficientnet-lite0"))
    features = FeatureEngine(path, threads=1).embed(images)
    assert np.abs(features - np.asarray(model(images.astype(np.float32), training=False))).max() <= 1e-3
    assert np.isfinite(features).all()
    assert path.name.startswith("efficientnet-lite0-64")


def test_the_engine_takes_any_number_of_images(images: np.ndarray, tmp_path: Path) -> None:
    path = build_engine(FrozenNetwork("efficientnet-lite0", SIZE_PX), tmp_path)
    engine = FeatureEngine(path, threads=1)
    many = np.concatenate([images] * 3)[:11]
    np.testing.assert_allclose(engine.embed(many)[4:8], engine.embed(images), atol=1e-4)


def test_every_layer_of_the_network_knows_how_high_it_stands() -> None:
    model = build_classifier(keras, ClassifierSpec("efficientnet-lite0", SIZE_PX, 2, hidden_units=4))
    heights = levels(model)
    lowest, highest = ([name for name, height in heights.items() if height == wanted] for wanted in (0, 9))
    assert set(lowest) == {"image", "normalize", "stem_conv", "stem_bn", "stem_relu"}
    assert set(highest) == {"pooled", "dropout", "hidden", "hidden_relu", "hidden_dropout", "logits", "probabilities"}


def test_a_network_of_keras_is_cut_where_its_graph_runs_through_one_tensor() -> None:
    model = build_embedder(keras, "ResNet50", SIZE_PX)
    heights = levels(model)
    assert set(heights) == {layer.name for layer in model.layers}
    assert heights["normalize"] == heights["conv1_conv"] == 0 < heights["conv2_block1_1_conv"]
    assert heights["conv5_block3_3_conv"] == 7 < heights["pooled"] == 9
    for level in (3, 5, 7):
        lowest = next(layer for layer in model.layers if heights[layer.name] >= level)
        top = keras.Model(lowest.input, model.output)  # Keras refuses when a shortcut crosses the cut
        above = {layer.name for layer in model.layers if heights[layer.name] >= level}
        assert {layer.name for layer in top.layers[1:]} == above


def test_generalized_mean_pooling_is_the_cubic_mean_of_what_is_positive(images: np.ndarray) -> None:
    pixels = images.astype(np.float32)
    weights = load("efficientnet-lite0")
    model = build_embedder(keras, "efficientnet-lite0", SIZE_PX, pooling="gem")
    assign_weights(model, weights)
    before = np.asarray(keras.Model(model.inputs[0], model.get_layer("top_relu").output)(pixels))
    expected = (before**3).mean(axis=(1, 2)) ** (1 / 3)
    np.testing.assert_allclose(np.asarray(model(pixels)), expected, atol=0.011)  # the floor is 1e-6 ** (1/3)
    assert np.corrcoef(np.asarray(model(pixels)).ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("name", ["efficientnet-lite0", "mobilenetv3-small-0.75"])
def test_a_network_without_weights_normalizes_as_declared(name: str) -> None:
    kernel, bias = build_embedder(keras, name, SIZE_PX).get_layer("normalize").get_weights()
    scale, offset = BACKBONES[name].normalization.scale, BACKBONES[name].normalization.offset
    np.testing.assert_allclose(kernel.ravel() * 255 + bias, np.multiply(scale, 255) + offset, rtol=1e-6)
