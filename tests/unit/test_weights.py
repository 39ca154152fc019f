"""Weights by layer name: kept in a file, folded, and how high their layers stand."""

from pathlib import Path

import numpy as np
import pytest

from automl_cnn.errors import ArtifactError
from automl_cnn.models import weights
from automl_cnn.models.classifier import levels_by_name


def test_weights_survive_the_file_between_two_stages(tmp_path: Path) -> None:
    some = {
        "a_conv": [np.ones((1, 1, 2, 2), np.float32), np.zeros(2, np.float32)],
        "logits": [np.eye(2, dtype=np.float32)],
    }
    weights.save_weights(tmp_path / "w.npz", some)
    back = weights.load_weights(tmp_path / "w.npz")
    assert weights.digest(back) == weights.digest(some)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"plain text"])
def test_a_damaged_weights_artifact_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"w\.npz"):
        weights.load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize("epsilon", [1e-3, 1.001e-5])
def test_folding_gives_the_function_of_convolution_and_batchnorm(epsilon: float) -> None:
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(1, 1, 4, 3)).astype(np.float32)
    gamma, beta, mean = (rng.normal(size=3).astype(np.float32) for _ in range(3))
    variance = rng.uniform(1e-3, 2e-3, 3).astype(np.float32)
    folded = weights.fold_batchnorm({"x_conv": [kernel], "x_bn": [gamma, beta, mean, variance]}, epsilon)
    image = rng.normal(size=(5, 4))
    plain = (image @ kernel[0, 0] - mean) / np.sqrt(variance + epsilon) * gamma + beta
    np.testing.assert_allclose(image @ folded["x_conv"][0][0, 0] + folded["x_conv"][1], plain, rtol=1e-4, atol=1e-4)
    assert "x_bn" not in folded


def test_layers_know_how_high_they_stand() -> None:
    heights = {
        "image": 0,
        "normalize": 0,
        "stem_conv": 0,
        "block3b_expand_bn": 3,
        "block7a_project_conv": 7,
        "top_conv": 8,
        "hidden": 9,
        "logits": 9,
    }
    assert levels_by_name(heights) == heights


def test_the_last_stage_is_the_seventh_however_few_there_are() -> None:
    five_stages = {"stem_conv": 0, "block1a_depthwise_conv": 3, "block5b_pointwise_relu": 7, "pooled": 9}
    assert levels_by_name(five_stages) == five_stages
