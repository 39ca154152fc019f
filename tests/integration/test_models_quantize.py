"""What the registry calls quantizable is: its tf_keras twin trains in int8 and its file has no float tensor."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from automl_cnn.litert import LiteModel  # noqa: E402
from automl_cnn.models.classifier import build_classifier  # noqa: E402
from automl_cnn.models.registry import BACKBONES  # noqa: E402
from automl_cnn.models.spec import ClassifierSpec  # noqa: E402
from automl_cnn.models.weights import extract_weights  # noqa: E402
from automl_cnn.quantize.bias_room import make_room_for_biases  # noqa: E402
from automl_cnn.quantize.calibrate import observe_ranges  # noqa: E402
from automl_cnn.quantize.convert import convert_qat_int8  # noqa: E402
from automl_cnn.quantize.qat import trained_variables  # noqa: E402
from automl_cnn.quantize.scheme import simulate_int8  # noqa: E402
from automl_cnn.quantize.twin import build_twin, check_parity  # noqa: E402

pytestmark = pytest.mark.slow
SIZE_PX = 33  # odd, so that both paddings of MobileNet V1 are there


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mobilenet-0.25", marks=pytest.mark.exhaustive),
        "mobilenetv3-small-0.75",
        pytest.param("efficientnet-b0", marks=pytest.mark.exhaustive),
        pytest.param("efficientnetv2-b0", marks=pytest.mark.exhaustive),
    ],
)
def test_a_network_becomes_an_int8_file_that_computes_as_simulated(name: str, tmp_path: Path) -> None:
    assert BACKBONES[name].quantizes
    keras.utils.set_random_seed(1)
    spec = ClassifierSpec(name, SIZE_PX, 3)
    model = build_classifier(keras, spec)
    rng = np.random.default_rng(1)
    for layer in model.layers:  # moving statistics that a random network does not have of itself
        if layer.name.endswith("_bn"):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma * 1.5, rng.normal(0, 0.5, beta.shape), mean, variance * 0.3])
    images = rng.integers(0, 256, (16, 3, 3, 3)).repeat(11, axis=1).repeat(11, axis=2).astype(np.uint8)
    answers = np.asarray(model(images.astype(np.float32), training=False))

    twin = build_twin(spec, extract_weights(model))
    assert check_parity(twin, images, answers) <= 1e-4
    for layer in twin.layers:  # excitations that hardly move: behind such fine steps a bias needs more than int32
        if layer.name.endswith("_se_reduce_conv"):
            layer.set_weights([array * 0.05 for array in layer.get_weights()])
        if layer.name.endswith("_se_expand_conv"):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * 1e-4, np.ones_like(bias)])
    ranges = observe_ranges(twin, images)
    make_room_for_biases(twin, ranges)
    simulated = simulate_int8(twin, ranges)
    assert len(trained_variables(simulated)) > len(trained_variables(simulated, from_block=9)) > 0
    path = tmp_path / "qat_int8.tflite"
    path.write_bytes(convert_qat_int8(simulated))
    file = LiteModel(path)
    assert "float32" not in file.tensor_dtypes()
    assert file.partitions() == 1
    expected = np.asarray(simulated(images.astype(np.float32), training=False))
    int8 = np.concatenate([file.run(image[None]) for image in images])
    assert np.abs(int8 - expected).mean() <= 0.01
