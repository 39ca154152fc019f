"""EfficientNet-Lite0 gives the features that its published weights define, computed a second time without Keras."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from automl_cnn.models import pretrained  # noqa: E402
from automl_cnn.models.classifier import build_embedder  # noqa: E402
from automl_cnn.models.torch_file import read_state_dict  # noqa: E402
from automl_cnn.models.weights import assign_weights  # noqa: E402

# Tan and Le 2019, table 1, with repeats written out; kernels and channels are read off the published tensors.
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
State = dict[str, NDArray[np.float64]]


def features_in_numpy(state: State, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pooled features [1280] of one image [h, w, 3] in 0…255, straight from the state dict's own names and axes."""
    x = relu6(normalized(state, "_bn0", convolved(state["_conv_stem.weight"], (pixels - 127) / 128, 2)))
    for index, stride in enumerate(STRIDES):
        prefix, shortcut = f"_blocks.{index}", x
        if f"{prefix}._expand_conv.weight" in state:
            x = relu6(normalized(state, f"{prefix}._bn0", convolved(state[f"{prefix}._expand_conv.weight"], x, 1)))
        x = convolved(state[f"{prefix}._depthwise_conv.weight"], x, stride)
        x = relu6(normalized(state, f"{prefix}._bn1", x))
        x = normalized(state, f"{prefix}._bn2", convolved(state[f"{prefix}._project_conv.weight"], x, 1))
        if stride == 1 and x.shape == shortcut.shape:
            x = x + shortcut
    x = relu6(normalized(state, "_bn1", convolved(state["_conv_head.weight"], x, 1)))
    return x.mean(axis=(0, 1))


def convolved(kernel: NDArray[np.float64], x: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """A torch kernel [out, in, k, k] or [channels, 1, k, k] over [h, w, in], padded as TensorFlow's 'same' does."""
    size = kernel.shape[-1]
    places = [-(-side // stride) for side in x.shape[:2]]
    missing = [max((n - 1) * stride + size - side, 0) for n, side in zip(places, x.shape[:2], strict=True)]
    x = np.pad(x, [(total // 2, total - total // 2) for total in missing] + [(0, 0)])
    depthwise = kernel.shape[1] == 1 and kernel.shape[0] == x.shape[-1]
    result = 0.0
    for row in range(size):
        for column in range(size):
            seen = x[row : row + stride * places[0] : stride, column : column + stride * places[1] : stride]
            tap = kernel[:, :, row, column]  # (out, in) or (channels, 1)
            result = result + (seen * tap[:, 0] if depthwise else seen @ tap.T)
    return np.asarray(result)


def normalized(state: State, prefix: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    mean, variance = state[f"{prefix}.running_mean"], state[f"{prefix}.running_var"]
    return (x - mean) / np.sqrt(variance + 1e-3) * state[f"{prefix}.weight"] + state[f"{prefix}.bias"]


def relu6(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(x, 0, 6)


@pytest.mark.parametrize("size_px", [96, 161])
def test_features_are_those_of_the_published_weights(size_px: int) -> None:
    source = pretrained.find("efficientnet-lite0")
    assert source is not None
    state = {name: array.astype(np.float64) for name, array in read_state_dict(source.path).items()}
    coarse = np.random.default_rng(1).uniform(0, 255, (7, 7, 3))
    pixels = coarse.repeat(-(-size_px // 7), axis=0).repeat(-(-size_px // 7), axis=1)[:size_px, :size_px]
    expected = features_in_numpy(state, pixels)
    model = build_embedder(keras, "efficientnet-lite0", size_px)
    assign_weights(model, pretrained.load("efficientnet-lite0"))
    ours = np.asarray(model(pixels[None].astype(np.float32), training=False))[0]
    assert expected.std() > 0.1
    assert np.abs(ours - expected).max() <= 1e-4
