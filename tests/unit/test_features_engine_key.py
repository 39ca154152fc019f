"""An engine's name: tells network, size, pooling and weights apart, and needs no TensorFlow."""

from pathlib import Path

import pytest

from automl_cnn.errors import WeightsError
from automl_cnn.features.engine_key import engine_key


def test_size_pooling_and_network_make_different_engines() -> None:
    keys = {
        engine_key("efficientnet-lite0", 96), engine_key("efficientnet-lite0", 128),
        engine_key("efficientnet-lite1", 96), engine_key("efficientnet-lite0", 96, pooling="gem"),
    }  # fmt: skip
    assert len(keys) == 4
    assert engine_key("efficientnet-lite0", 96) in keys


def test_other_weights_make_another_engine(tmp_path: Path) -> None:
    (tmp_path / "mobilenet_v1_0.25_224_imagenet_notop.weights.h5").write_bytes(b"one")
    first = engine_key("mobilenet-0.25", 96, str(tmp_path))
    (tmp_path / "mobilenet_v1_0.25_224_imagenet_notop.weights.h5").write_bytes(b"another")
    assert engine_key("mobilenet-0.25", 96, str(tmp_path)) != first


def test_a_network_without_weights_has_no_features(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="mobilenet"):
        engine_key("mobilenet-0.25", 96, str(tmp_path))
    with pytest.raises(WeightsError, match="trained from scratch"):
        engine_key("lenet5", 96)
