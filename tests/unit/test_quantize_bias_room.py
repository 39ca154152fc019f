"""Every bias must fit into the int32 that TFLite gives it, whatever training left of the kernel."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_cnn.models.layers import BATCHNORM_EPSILON
from automl_cnn.models.pretrained import load
from automl_cnn.models.weights import fold_batchnorm
from automl_cnn.quantize.bias_room import make_room_for_biases, widen_bias_room

FINEST_INPUT_STEP = 1 / 128


@pytest.fixture(scope="module")
def folded() -> dict[str, list[np.ndarray]]:
    return fold_batchnorm(load("efficientnet-lite0"), BATCHNORM_EPSILON)


def int32_bias(name: str, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    kernel_step = np.abs(kernel).max(axis=(0, 1, 3) if "_depthwise_" in name else (0, 1, 2)) / 127
    with np.errstate(divide="ignore"):
        return np.abs(bias) / (FINEST_INPUT_STEP * kernel_step)


def test_pretrained_weights_overflow_int32_as_they_are_and_fit_afterwards(folded: dict[str, list[np.ndarray]]) -> None:
    before = max(int32_bias(name, *arrays).max() for name, arrays in folded.items() if name.endswith("_conv"))
    widened = widen_bias_room(folded)
    after = max(int32_bias(name, *arrays).max() for name, arrays in widened.items() if name.endswith("_conv"))
    assert before > 2**31
    assert after < 2**31


def test_only_channels_that_are_constant_anyway_are_touched(folded: dict[str, list[np.ndarray]]) -> None:
    widened = widen_bias_room(folded)
    assert widened.keys() == folded.keys()
    for name, (kernel, bias) in folded.items():
        changed = widened[name][0] != kernel
        assert np.array_equal(widened[name][1], bias)
        assert not changed.any() or np.abs(kernel[changed]).max() < 1e-4


@given(
    bias=st.floats(-20, 20).filter(lambda value: abs(value) > 1e-3),
    largest=st.floats(1e-12, 1.0),
    step=st.floats(1e-7, 1.0),
)
def test_a_bias_fits_behind_any_input_and_its_channel_hardly_moves(bias: float, largest: float, step: float) -> None:
    kernel = np.full((1, 1, 4, 1), largest, np.float32)
    layer = Convolution([kernel, np.array([bias], np.float32)])
    make_room_for_biases(SimpleNamespace(layers=[layer]), {"before": (0.0, 255 * step)})
    widened = layer.arrays[0]
    assert abs(bias) / (step * np.abs(widened).max() / 127) <= 2**30 * 1.001
    if not np.array_equal(widened, kernel):  # every input is at most 255 steps
        assert 255 * step * np.abs(widened - kernel).sum() <= abs(bias) / 30_000


class Convolution:
    """As much of a layer as is looked at."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays
        source = SimpleNamespace(node=SimpleNamespace(layer=SimpleNamespace(name="before")))
        self.inbound_nodes = [SimpleNamespace(keras_inputs=[source])]

    def get_weights(self) -> list[np.ndarray]:
        return self.arrays

    def set_weights(self, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays


Convolution.__name__ = "Conv2D"  # layers are told by the names of their classes
