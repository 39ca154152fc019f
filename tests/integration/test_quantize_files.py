"""From a Keras 3 network to the file that ships, on a network of 32 pixels and 48 images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_cnn.artifacts import Files
from automl_cnn.config import QuantizeParams
from automl_cnn.errors import QuantizeError
from automl_cnn.evaluate.benchmark import benchmark_file, describe
from automl_cnn.litert import LiteModel
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.quantize.calibrate import observe_ranges
from automl_cnn.quantize.channel_groups import find_groups
from automl_cnn.quantize.convert import convert_float_head, convert_qat_int8, convert_weight_only
from automl_cnn.quantize.deliver import climb, write_ladder
from automl_cnn.quantize.equalize import equalize
from automl_cnn.quantize.images import LabelledImages
from automl_cnn.quantize.ladder import Yardstick
from automl_cnn.quantize.twin import FloatModel, build_twin, check_parity, load_float_model
from automl_cnn.serve.predict import Predictor
from automl_cnn.tflite_metadata import read_files, with_metadata

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytestmark = pytest.mark.slow

SIZE_PX, CLASSES = 32, ["blue", "green", "red"]
RUNGS = ("float32", "float16", "ptq_int8", "ai_edge_int8", "qat_int8")
PARAMS = QuantizeParams(max_drop=1.0, calibration_images=16, steps=2, learning_rate=1e-5, batch_size=8, seed=1)


@dataclass(frozen=True)
class Ladder:
    """A finished quantized/, what it was made from, and the simulation behind its qat_int8.tflite."""

    files: Files
    model: FloatModel
    training: LabelledImages
    validation: LabelledImages
    simulated: Any

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        listed = json.loads((self.files.quantized / "ladder.json").read_text())
        return {entry["rung"]: entry for entry in listed}


def coloured(count: int, seed: int) -> LabelledImages:
    """Noisy images in which one colour is stronger: a task that a fitted head solves."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    images = rng.integers(0, 50, (count, SIZE_PX, SIZE_PX, 3))
    for image, label in zip(images, labels, strict=True):
        image[..., 2 - label] += 200
    return LabelledImages(images.astype(np.uint8), labels.astype(np.int64))


def write_keras3_model(folder: Path, training: LabelledImages) -> None:
    """A pretrained backbone with a head that tells the class means apart, written as the train stage writes it."""
    import keras

    from automl_cnn.models.classifier import build_classifier, build_embedder
    from automl_cnn.models.pretrained import load
    from automl_cnn.models.weights import assign_weights, extract_weights
    from automl_cnn.train.outputs import TrainedModel, write_model

    spec = ClassifierSpec("efficientnet-lite0", SIZE_PX, len(CLASSES))
    weights = load(spec.backbone)
    embedder = build_embedder(keras, spec.backbone, SIZE_PX)
    assign_weights(embedder, weights)
    pixels = training.images[np.arange(len(training.labels))]
    features = np.asarray(embedder.predict_on_batch(pixels.astype(np.float32)))
    means = np.stack([features[training.labels == label].mean(axis=0) for label in range(len(CLASSES))])
    kernel, bias = 2 * means.T, -(means**2).sum(axis=1)
    scale = 4 / np.abs(features @ kernel + bias - (features @ kernel + bias).mean(axis=1, keepdims=True)).max()
    model = build_classifier(keras, spec)
    assign_weights(model, {**weights, "logits": [kernel * scale, bias * scale]})
    preprocessing = {"working_size_px": SIZE_PX, "input_size_px": SIZE_PX, "resize": "stretch", "max_megapixels": 100}
    write_model(folder, TrainedModel(spec, extract_weights(model), CLASSES, preprocessing, [], {}), pixels[:8])


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Ladder:
    files = Files(tmp_path_factory.mktemp("quantize"))
    training, validation = coloured(24, seed=1), coloured(24, seed=2)
    write_keras3_model(files.model, training)
    model = load_float_model(files.model)
    exported: list[Any] = []

    def export_and_keep(simulated: Any) -> bytes:
        exported.append(simulated)
        return convert_qat_int8(simulated)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("automl_cnn.quantize.convert.convert_qat_int8", export_and_keep)
        write_ladder(model, training, Yardstick(validation, CLASSES, "macro_f1"), PARAMS, files)
    return Ladder(files, model, training, validation, exported[0])


def answers(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    model = LiteModel(path)
    return np.concatenate([model.run(image[None]) for image in images])


def test_the_folded_twin_answers_as_the_keras_3_network(ladder: Ladder) -> None:
    twin = build_twin(ladder.model.spec, ladder.model.weights)
    assert check_parity(twin, ladder.model.golden_images, ladder.model.golden_probabilities) <= 1e-4
    assert not [layer.name for layer in twin.layers if layer.name.endswith("_bn")]


def test_weights_that_do_not_belong_to_the_golden_answers_are_refused(ladder: Ladder) -> None:
    kernel, bias = ladder.model.weights["logits"]
    twin = build_twin(ladder.model.spec, {**ladder.model.weights, "logits": [kernel, bias * 1.5]})
    with pytest.raises(QuantizeError, match="golden image"):
        check_parity(twin, ladder.model.golden_images, ladder.model.golden_probabilities)


@pytest.mark.parametrize("rung", RUNGS)
def test_every_file_takes_raw_uint8_pixels_and_gives_probabilities(ladder: Ladder, rung: str) -> None:
    path = ladder.files.quantized / f"{rung}.tflite"
    model = LiteModel(path)
    assert model.input_shape == (1, SIZE_PX, SIZE_PX, 3)
    assert model.input_dtype == np.uint8
    probabilities = answers(path, ladder.validation.images[np.arange(24)])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=0.02)
    assert (probabilities.argmax(axis=1) == ladder.validation.labels).mean() >= 0.9


@pytest.mark.parametrize("rung", ["ptq_int8", "ai_edge_int8", "qat_int8"])
def test_an_int8_file_has_no_float_tensor_and_reads_pixels_as_they_are(ladder: Ladder, rung: str) -> None:
    model = LiteModel(ladder.files.quantized / f"{rung}.tflite")
    assert "float32" not in model.tensor_dtypes()
    assert model._input["quantization"] == (1.0, 0)


def test_the_simulation_and_its_int8_file_agree(ladder: Ladder) -> None:
    images = ladder.validation.images[np.arange(24)]
    simulated = ladder.simulated.predict(images.astype(np.float32), verbose=0)
    float_file = answers(ladder.files.quantized / "float32.tflite", images)
    int8_file = answers(ladder.files.quantized / "qat_int8.tflite", images)
    assert np.abs(int8_file - simulated).mean() <= 0.02
    assert np.abs(int8_file - simulated).mean() < np.abs(float_file - simulated).mean()


def test_the_ladder_says_what_each_file_is_worth_and_ships_a_copy_of_one(ladder: Ladder) -> None:
    entries, folder = ladder.entries, ladder.files.quantized
    assert tuple(entries) == RUNGS
    (shipped,) = (entry for entry in entries.values() if entry["shipped"])
    assert (folder / "model.tflite").read_bytes() == (folder / shipped["path"]).read_bytes()
    assert all(entry["size_bytes"] == (folder / entry["path"]).stat().st_size for entry in entries.values())
    assert all(entry["latency_ms"] > 0 for entry in entries.values())
    assert entries["ptq_int8"]["partitions"] == entries["qat_int8"]["partitions"] == 1
    assert entries["qat_int8"]["float_tensors"] == 0 < entries["float32"]["float_tensors"]
    assert entries["qat_int8"]["size_bytes"] < entries["float32"]["size_bytes"] / 3
    for entry in entries.values():
        assert entry["flipped"] == round((1 - entry["agreement"]) * 24)
        assert set(entry["class_drops"]) == set(CLASSES)
        assert 0 <= entry["val_ece"] <= 1
        assert entry["latency_all_ms"] > 0
        assert entry["peak_mib"] > 0
    assert (folder / "labels.txt").read_text().split() == CLASSES
    assert (folder / "preprocessing.json").read_bytes() == (ladder.files.model / "preprocessing.json").read_bytes()


def test_the_file_carries_its_labels_and_its_preprocessing(ladder: Ladder, tmp_path: Path) -> None:
    content = (ladder.files.quantized / "model.tflite").read_bytes()
    carried = read_files(content)
    assert carried["labels.txt"].split() == CLASSES
    assert json.loads(carried["preprocessing.json"])["input_size_px"] == SIZE_PX
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(content)
    assert Predictor(alone).labels == tuple(CLASSES)
    assert with_metadata(content, CLASSES, json.loads(carried["preprocessing.json"])) == content


def test_fallbacks_are_made_only_where_no_file_that_is_int8_throughout_passes(ladder: Ladder, tmp_path: Path) -> None:
    yardstick = Yardstick(ladder.validation, CLASSES)

    def exhaust() -> bytes:
        raise MemoryError("no 12 GiB for a tensor\nat node 7")

    def finished(name: str) -> Callable[[], bytes]:
        return (ladder.files.quantized / f"{name}.tflite").read_bytes

    def broken() -> bytes:
        raise QuantizeError("rung", expected="a network", received="none", action="Change it.")

    fallback = {"weight_only_int8": finished("float16")}
    passing = {name: finished(name) for name in ("float32", "qat_int8")}
    assert [rung.rung for rung in climb(tmp_path, {**passing, **fallback}, yardstick, 1.0)] == [
        "float32", "qat_int8",
    ]  # fmt: skip
    refused = {"float32": finished("float32"), "qat_int8": broken, **fallback}
    assert [rung.rung for rung in climb(tmp_path, refused, yardstick, 1.0)] == [
        "float32", "qat_int8", "weight_only_int8",
    ]  # fmt: skip


def test_a_float_head_and_int8_weights_alone_answer_nearly_as_the_float_network(ladder: Ladder, tmp_path: Path) -> None:
    from automl_cnn.quantize.scheme import simulate_int8

    images = ladder.validation.images[np.arange(24)]
    expected = answers(ladder.files.quantized / "float32.tflite", images)
    twin = build_twin(ladder.model.spec, ladder.model.weights)
    made = {
        "head": convert_float_head(simulate_int8(twin, observe_ranges(twin, images), float_head=True)),
        "weights": convert_weight_only(twin),
    }
    for name, content in made.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        assert LiteModel(path).input_dtype == np.uint8
        assert np.abs(answers(path, images) - expected).mean() <= 0.03
        assert path.stat().st_size < (ladder.files.quantized / "float32.tflite").stat().st_size / 2


def test_equalized_channels_change_no_answer_and_the_lower_ones_rise(ladder: Ladder) -> None:
    images = ladder.validation.images[np.arange(24)]
    twin = build_twin(ladder.model.spec, ladder.model.weights)
    before = twin.predict(images.astype(np.float32), verbose=0)
    ranges = observe_ranges(twin, images)
    scaled = equalize(twin, images)
    assert scaled > 100
    np.testing.assert_allclose(twin.predict(images.astype(np.float32), verbose=0), before, atol=1e-4)
    after = observe_ranges(twin, images)
    for group in find_groups(twin):
        highest = max(np.abs(ranges[name]).max() for name in group.rounded)
        assert all(np.abs(after[name]).max() <= highest * 1.0001 for name in group.rounded)


def test_a_scale_goes_through_sums_and_excitation_and_not_through_hard_swish() -> None:
    import tf_keras

    from automl_cnn.models.classifier import build_classifier

    tf_keras.utils.set_random_seed(1)
    network = build_classifier(tf_keras, ClassifierSpec("mobilenetv3-small-0.75", SIZE_PX, len(CLASSES)), folded=True)
    groups = {group.makers[0]: group for group in find_groups(network)}
    excited = groups["block1a_depthwise_conv"]
    assert excited.takers == ("block1a_se_reduce_conv", "block1a_project_conv")
    assert {"block1a_se_squeeze", "block1a_se_excite"} <= set(excited.rounded)
    assert "block1a_depthwise_conv" not in excited.rounded  # its ReLU rounds for both
    summed = groups["block2a_project_conv"]
    assert summed.makers == ("block2a_project_conv", "block2b_project_conv")
    assert "block2b_add" in summed.rounded
    assert not {"stem_conv", "block3a_expand_conv"} & set(groups)
    images = np.random.default_rng(1).integers(0, 256, (8, SIZE_PX, SIZE_PX, 3)).astype(np.uint8)
    before = network.predict(images.astype(np.float32), verbose=0)
    assert equalize(network, images) > 100
    np.testing.assert_allclose(network.predict(images.astype(np.float32), verbose=0), before, atol=1e-4)


def test_a_benchmark_tells_time_memory_and_how_much_of_a_file_is_int8(ladder: Ladder) -> None:
    cost = benchmark_file(ladder.files.quantized / "qat_int8.tflite", [1, 2], runs=5, warm_up_runs=2)
    assert (cost.float_tensors, cost.partitions) == (0, 1)
    assert [one.threads for one in cost.latencies] == [1, 2]
    assert all(0 < one.median_ms <= one.p90_ms <= one.p95_ms for one in cost.latencies)
    assert cost.peak_mib is not None
    assert "0 of" in describe(cost)[1]


def test_a_file_that_cannot_be_made_is_noted_and_the_others_go_on(ladder: Ladder, tmp_path: Path) -> None:
    yardstick = Yardstick(ladder.validation, CLASSES)

    def refuse() -> bytes:
        raise QuantizeError("rung float16", expected="a network", received="an unknown operator", action="Change it.")

    def exhaust() -> bytes:
        raise MemoryError("no 12 GiB for a tensor\nat node 7")

    def finished(name: str) -> Callable[[], bytes]:
        return (ladder.files.quantized / f"{name}.tflite").read_bytes

    exports = {
        "float32": finished("float32"),
        "float16": refuse,
        "ptq_int8": lambda: b"rubbish",
        "ai_edge_int8": exhaust,
        "qat_int8": finished("qat_int8"),
    }
    rungs = {rung.rung: rung for rung in climb(tmp_path, exports, yardstick, 1.0)}
    assert "an unknown operator" in str(rungs["float16"].error)
    assert "expected a .tflite file" in str(rungs["ptq_int8"].error)
    assert rungs["ai_edge_int8"].error == "MemoryError: no 12 GiB for a tensor"
    assert rungs["qat_int8"].error is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float32.tflite", "qat_int8.tflite"]
