"""An engine's name: tells network, size, pooling and weights apart, and needs no TensorFlow."""

from pathlib import Path

import pytest

from automl_cnn.errors import WeightsError
from automl_cnn.features.frozen import FrozenNetwork


def test_size_pooling_and_network_make_different_engines() -> None:
    keys = {
        FrozenNetwork("efficientnet-lite0", 96).key(), FrozenNetwork("efficientnet-lite0", 128).key(),
        FrozenNetwork("efficientnet-lite1", 96).key(), FrozenNetwork("efficientnet-lite0", 96, pooling="gem").key(),
    }  # fmt: skip
    assert len(keys) == 4
    assert FrozenNetwork("efficientnet-lite0", 96).key() in keys


def test_other_weights_make_another_engine(tmp_path: Path) -> None:
    (tmp_path / "mobilenet_v1_0.25_224_imagenet_notop.weights.h5").write_bytes(b"one")
    first = FrozenNetwork("mobilenet-0.25", 96, weights_dir=str(tmp_path)).key()
    (tmp_path / "mobilenet_v1_0.25_224_imagenet_notop.weights.h5").write_bytes(b"another")
    assert FrozenNetwork("mobilenet-0.25", 96, weights_dir=str(tmp_path)).key() != first


def test_a_network_without_weights_has_no_features(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="mobilenet"):
        FrozenNetwork("mobilenet-0.25", 96, weights_dir=str(tmp_path)).key()
    with pytest.raises(WeightsError, match="trained from scratch"):
        FrozenNetwork("lenet5", 96).key()
