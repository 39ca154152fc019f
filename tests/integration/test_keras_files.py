"""Weight files of keras.applications: every format is read, and one that does not fit says what did not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from automl_cnn.errors import WeightsError  # noqa: E402
from automl_cnn.models import pretrained  # noqa: E402
from automl_cnn.models.backbone import Application  # noqa: E402
from automl_cnn.models.classifier import build_embedder  # noqa: E402
from automl_cnn.models.registry import BACKBONES  # noqa: E402
from automl_cnn.models.weights import assign_weights, extract_weights  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared" / "weights"
NAME = "mobilenet-0.25"


def application(name: str, *, headed: bool, size_px: int = 224) -> Any:
    """The network of keras.applications that a backbone's weights come from, at random."""
    known = BACKBONES[name].weights
    assert isinstance(known, Application)
    constructor = getattr(keras.applications, known.constructor)
    return constructor(weights=None, include_top=headed, input_shape=(size_px, size_px, 3), **known.arguments)


@pytest.fixture(scope="module", params=[False, True], ids=["without head", "with head"])
def network(request: pytest.FixtureRequest) -> Any:
    return application(NAME, headed=request.param)


@pytest.mark.parametrize("name", ["mobilenet-0.25-mine.h5", "mobilenet-0.25-mine.weights.h5"])
def test_both_formats_are_read_with_and_without_a_head(network: Any, tmp_path: Path, name: str) -> None:
    network.save_weights(tmp_path / name) if name.endswith(".weights.h5") else network.save(tmp_path / name)
    loaded = pretrained.load(NAME, str(tmp_path))
    np.testing.assert_array_equal(loaded["stem_conv"][0], network.get_layer("conv1").get_weights()[0])
    np.testing.assert_array_equal(
        loaded["block5b_pointwise_bn"][3], network.get_layer("conv_pw_13_bn").get_weights()[3]
    )
    model = build_embedder(keras, NAME, 96)
    assign_weights(model, loaded)
    assert set(extract_weights(model)) == set(loaded)


@pytest.mark.parametrize("wrong", ["mobilenet-0.5", "mobilenetv2-0.35"])
def test_the_file_of_another_network_is_refused_and_named(tmp_path: Path, wrong: str) -> None:
    application(wrong, headed=False).save_weights(tmp_path / "mobilenet-0.25-notop.weights.h5")
    with pytest.raises(
        WeightsError, match=r"notop\.weights\.h5: expected the weights of mobilenet-0\.25; received .*(conv|layer)"
    ):
        pretrained.load(NAME, str(tmp_path))


def test_a_file_that_was_cut_off_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "mobilenet-0.25-notop.weights.h5"
    application(NAME, headed=False).save_weights(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match=r"notop\.weights\.h5: expected a whole HDF5 file; received .*truncated"):
        pretrained.load(NAME, str(tmp_path))


def test_a_file_with_values_that_are_no_numbers_is_refused_by_layer(tmp_path: Path) -> None:
    broken = application(NAME, headed=False)
    layer = broken.get_layer("conv_dw_3")
    layer.set_weights([np.full_like(layer.get_weights()[0], np.nan)])
    broken.save_weights(tmp_path / "mobilenet-0.25-notop.weights.h5")
    with pytest.raises(WeightsError, match="no numbers, for layer block2b_depthwise_conv"):
        pretrained.load(NAME, str(tmp_path))


@pytest.mark.real_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the development weights are not here")
@pytest.mark.parametrize("name", ["mobilenet-0.25", "mobilenetv2-0.35", "mobilenetv3-small-0.75"])
def test_a_development_file_gives_the_features_of_its_application(name: str) -> None:
    source = pretrained.find(name, str(SHARED))
    assert source is not None
    coarse = np.random.default_rng(1).integers(0, 256, (2, 3, 3, 3)).astype(np.float32)
    pixels = coarse.repeat(32, axis=1).repeat(32, axis=2)
    original = application(name, headed=False, size_px=96)
    original.load_weights(source.path)
    inside = BACKBONES[name].family == "MobileNetV3"  # has its normalization in the network
    expected = np.asarray(original(pixels if inside else pixels / 127.5 - 1, training=False)).mean(axis=(1, 2))
    model = build_embedder(keras, name, 96)
    assign_weights(model, pretrained.load(name, str(SHARED)))
    assert expected.std() > 0.05
    assert np.abs(np.asarray(model(pixels, training=False)) - expected).max() <= 1e-4
