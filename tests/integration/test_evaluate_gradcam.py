"""Grad-CAM: a map for every family of networks, and a map that points at what decides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from colour_run import INPUT_PX, write_colour_run
from numpy.typing import NDArray

from automl_cnn.artifacts import read_table, write_lines
from automl_cnn.config import EvaluateParams
from automl_cnn.evaluate.explain import EXPLANATIONS, load_heat
from automl_cnn.evaluate.failures import FAILURES
from automl_cnn.evaluate.gradcam import GradCam
from automl_cnn.evaluate.judge import judge_shipped, write_evaluation
from automl_cnn.models.classifier import build_classifier
from automl_cnn.models.pretrained import load
from automl_cnn.models.spec import ClassifierSpec, Pooling
from automl_cnn.models.weights import Weights, extract_weights, save_weights

keras = pytest.importorskip("keras")
SCRIPT = Path(__file__).parents[2] / "pipelines" / "explain.py"
FAMILIES = ("efficientnet-lite0", "mobilenetv3-small-0.75", "lenet5", "ResNet50")  # one network of each
OTHER_FAMILIES = ("efficientnet-b0", "efficientnetv2-b0", "mobilenet-0.25", "mobilenetv2-0.35", "smallnet")


def _random_weights(spec: ClassifierSpec) -> Weights:
    keras.utils.set_random_seed(1)
    return extract_weights(build_classifier(keras, spec))


@pytest.mark.parametrize(
    "backbone", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in OTHER_FAMILIES)]
)
def test_every_family_has_maps(backbone: str) -> None:
    spec = ClassifierSpec(backbone, 64, 3)
    images = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    heat, answers = GradCam(spec, _random_weights(spec)).explain(images, np.array([[0, 1, 2]] * 3))
    assert heat.shape == (3, 3, 64, 64)
    assert heat.dtype == np.uint8
    assert heat.any(axis=(0, 2, 3)).any()
    assert answers.min() >= 0
    assert answers.max() <= 2


@pytest.mark.parametrize(
    ("pooling", "hidden_units"),
    [("average", 2), ("gem", 0), pytest.param("average", 0, marks=pytest.mark.exhaustive)],
)
def test_the_map_points_at_the_object_that_makes_the_class(pooling: Pooling, hidden_units: int) -> None:
    spec = ClassifierSpec("efficientnet-lite0", 128, 2, hidden_units=hidden_units, pooling=pooling)
    images, labels, corners = _discs(48)
    weights = _with_fitted_head(spec, images[:32], labels[:32])
    heat, answers = GradCam(spec, weights).explain(images[32:], labels[32:, None])
    assert (answers == labels[32:]).mean() >= 0.9
    half = heat[:, 0].astype(float).reshape(-1, 2, 64, 2, 64).sum(axis=(2, 4)).reshape(-1, 4)
    assert (half.argmax(axis=1) == corners[32:]).mean() >= 0.9


def _discs(n: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """A red or a blue disc in one corner of a grey, noisy square: images, class, and corner 0 to 3."""
    rng = np.random.default_rng(1)
    images = rng.integers(100, 130, (n, 128, 128, 3), dtype=np.uint8)
    labels, corners = rng.integers(0, 2, n), rng.integers(0, 4, n)
    rows, columns = np.mgrid[:128, :128]
    for image, label, corner in zip(images, labels, corners, strict=True):
        centre = 32 + 64 * (corner // 2), 32 + 64 * (corner % 2)
        inside = np.hypot(rows - centre[0], columns - centre[1]) < 20
        image[inside] = (200, 20, 20) if label == 0 else (20, 20, 200)
    return images, labels.astype(np.int64), corners.astype(np.int64)


def _with_fitted_head(spec: ClassifierSpec, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Weights:
    """Pretrained; what tells the two classes' mean features apart is the head, or the hidden layer before it."""
    weights = {**_random_weights(spec), **load(spec.backbone)}
    network = build_classifier(keras, spec)
    for name, arrays in weights.items():
        network.get_layer(name).set_weights(arrays)
    pooled = keras.Model(network.inputs[0], network.get_layer("pooled").output)
    features = np.asarray(pooled(images.astype(np.float32)))
    means = np.array([features[labels == label].mean(axis=0) for label in (0, 1)])
    kernel = (means - means.mean(axis=0)).T  # (d, 2)
    kernel /= np.abs((features - means.mean(axis=0)) @ kernel).max() / 4  # within the 6 of ReLU6
    fitted = [kernel.astype(np.float32), (-(means.mean(axis=0) @ kernel)).astype(np.float32)]
    if not spec.hidden_units:
        return {**weights, "logits": fitted}
    return {**weights, "hidden": fitted, "logits": [np.eye(2, dtype=np.float32), np.zeros(2, np.float32)]}


def test_the_stage_explains_every_failure_once(tmp_path: Path) -> None:
    files = write_colour_run(tmp_path)
    write_evaluation(files.evaluation, judge_shipped(files, EvaluateParams(bootstrap=100, latency_runs=10)))
    spec = ClassifierSpec("smallnet", INPUT_PX, 3)
    files.model.mkdir(exist_ok=True)
    spec.save(files.model / "spec.json")
    save_weights(files.model / "weights.npz", _random_weights(spec))
    write_lines(files.model / "labels.txt", ["red", "green", "blue"])
    done = subprocess.run([sys.executable, str(SCRIPT)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    index = read_table(files.explanations / "index.parquet", EXPLANATIONS)
    failures = read_table(files.evaluation / "failures.parquet", FAILURES)
    assert sorted(index["image_id"]) == sorted(failures["image_id"].unique())
    heat = load_heat(files.explanations)
    assert heat["predicted"].shape == heat["label"].shape == (len(index), INPUT_PX, INPUT_PX)
    assert pd.Series(index["row"]).is_unique
