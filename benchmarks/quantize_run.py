"""One network on one set with one seed: trained, then quantized in every way; a line of JSON with what each is worth.

Run by quantize.py in a process of its own, in a project that accuracy_sets has prepared:
python benchmarks/quantize_run.py PROJECT OUT BACKBONE SIZE_PX SEED EPOCHS STEPS WEIGHTS_DIR
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from automl_cnn.quiet import import_quietly

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import_quietly("keras")  # before tfmot, which turns tf.keras into tf_keras
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import_quietly("tensorflow_model_optimization")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_model_optimization as tfmot  # noqa: E402
import tf_keras  # noqa: E402

from automl_cnn.artifacts import Files  # noqa: E402
from automl_cnn.config import Params, QuantizeParams, load_params  # noqa: E402
from automl_cnn.data.split_images import load_images, split_rows  # noqa: E402
from automl_cnn.evaluate.latency import measure_latency  # noqa: E402
from automl_cnn.litert import LiteModel  # noqa: E402
from automl_cnn.models.classifier import build_classifier  # noqa: E402
from automl_cnn.models.registry import backbone_of  # noqa: E402
from automl_cnn.models.weights import Weights, assign_weights  # noqa: E402
from automl_cnn.progress import silent  # noqa: E402
from automl_cnn.quantize.ai_edge import convert_ai_edge_int8  # noqa: E402
from automl_cnn.quantize.calibrate import Ranges, choose_calibration  # noqa: E402
from automl_cnn.quantize.convert import convert_float32, convert_ptq_int8, convert_qat_int8  # noqa: E402
from automl_cnn.quantize.deliver import equalized_twin  # noqa: E402
from automl_cnn.quantize.images import LabelledImages  # noqa: E402
from automl_cnn.quantize.ladder import Yardstick, run_all, validation_rank  # noqa: E402
from automl_cnn.quantize.rungs import Making  # noqa: E402
from automl_cnn.quantize.scheme import simulate_int8  # noqa: E402
from automl_cnn.quantize.twin import build_twin  # noqa: E402
from automl_cnn.search.space import Arm, plain_head, tuning_values  # noqa: E402
from automl_cnn.train.calibration import fit_temperature, fold_temperature  # noqa: E402
from automl_cnn.train.candidate import spec_of  # noqa: E402
from automl_cnn.train.material import Material  # noqa: E402
from automl_cnn.train.tuned import train_candidate  # noqa: E402

CALIBRATION, BATCH, RATE, TUNING_RATE, FROM_BLOCK = 256, 32, 2e-5, 4e-4, 4
DOCUMENTED_RATE = 1e-5
LATENCY_RUNS, LATENCY_ROUNDS = 50, 5


@dataclass(frozen=True)
class Task:
    """What one run is given; see the module's text."""

    project: Path
    out: Path
    backbone: str
    size_px: int
    seed: int
    epochs: int
    steps: int
    weights_dir: str


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__)
    for name in ("project", "out"):
        line.add_argument(name, type=Path)
    line.add_argument("backbone")
    for name in ("size_px", "seed", "epochs", "steps"):
        line.add_argument(name, type=int)
    line.add_argument("weights_dir")
    task = Task(**vars(line.parse_args()))
    found = run(task)
    half_written = task.out.with_suffix(".new")
    half_written.write_text(json.dumps(found), encoding="utf-8")
    half_written.rename(task.out)


def run(task: Task) -> dict[str, Any]:
    """Train, quantize in every way, run every file on the test side."""
    params = _params(task)
    files = Files(task.project / "artifacts")
    material = Material.of(params, files, task.project / ".automl-cnn")
    values = plain_head(Arm(task.backbone, task.size_px))
    pretrained = backbone_of(task.backbone).pretrained
    depth, epochs = (FROM_BLOCK, task.epochs) if pretrained else (1, 4 * task.epochs)
    values |= tuning_values(values, depth, TUNING_RATE * (1 if pretrained else 2), epochs, BATCH, "none")
    values["tuning_augmentation"] = "flip"
    started = time.perf_counter()
    tuned = train_candidate(values, 0, material)
    tuning_s = time.perf_counter() - started
    spec = spec_of(values, len(material.classes))
    weights = fold_temperature(tuned.weights, fit_temperature(tuned.logits, material.validation.labels))

    sides = {name: _side(files, material, name, task.size_px) for name in ("train", "validation", "test")}
    twin = build_twin(spec, weights)
    rows = choose_calibration(sides["train"].labels, list(material.classes), CALIBRATION, task.seed)
    calibration = sides["train"].images[rows]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "float32.tflite").write_bytes(convert_float32(twin))
        contents: dict[str, bytes | str] = {
            "float": (folder / "float32.tflite").read_bytes(),
            "post-training": convert_ptq_int8(twin, calibration),
            "ai-edge": convert_ai_edge_int8(twin, calibration),
            "tfmot as documented": _documented(spec, weights, sides["train"], task.seed),
        }
        started = time.perf_counter()
        equalized, ranges = equalized_twin(spec, weights, calibration)
        yardstick = Yardstick(sides["validation"], [str(index) for index in range(spec.classes)])
        making = Making(
            spec, twin, equalized, ranges, calibration, sides["train"], yardstick, params.quantize, folder, silent
        )  # fmt: skip
        contents["ours"] = making.exports()["qat_int8"]()
        qat_s = time.perf_counter() - started
        contents["post-training, equalized"] = convert_ptq_int8(equalized, calibration)
        rivals = [contents["ours"], contents["post-training, equalized"], convert_ai_edge_int8(equalized, calibration)]
        shipped = max(rivals, key=partial(validation_rank, yardstick=yardstick))
        found: dict[str, Any] = {
            "backbone": task.backbone, "size_px": task.size_px, "seed": task.seed, "n": len(sides["test"].labels),
            "tuning_s_per_1000": 1000 * _epoch_seconds(tuned.history) / len(material.training.rows),
            "qat_s_per_1000": 1000 * qat_s / (task.steps * BATCH), "tuning_s": tuning_s, "files": {},
        }  # fmt: skip
        for name, content in {**contents, "shipped": shipped}.items():
            found["files"][name] = _worth(content, sides["test"], folder / "measured.tflite")
        found["shipped"] = ("ours", "post-training, equalized", "ai-edge, equalized")[rivals.index(shipped)]
        found["latency"] = _latencies(contents, folder)
        found["simulated"] = _agreement(equalized, ranges, sides["test"])
    return found


def _params(task: Task) -> Params:
    params = load_params(task.project / "params.yaml")
    search = {"weights_dir": task.weights_dir or None, "objective": "accuracy", "seed": task.seed}
    quantize = {"steps": task.steps, "learning_rate": RATE, "seed": task.seed, "calibration_images": CALIBRATION}
    changed: dict[str, Any] = {
        "search": params.search.model_copy(update=search),
        "train": params.train.model_copy(update={"seed": task.seed}),
        "quantize": QuantizeParams(**{**params.quantize.model_dump(), **quantize}),
    }
    return params.model_copy(update=changed)


def _side(files: Files, material: Material, name: str, size_px: int) -> LabelledImages:
    rows = split_rows(files, name)
    return LabelledImages(load_images(material.store, rows.store_rows, size_px), rows.labels)


def _documented(spec: Any, weights: Weights, training: LabelledImages, seed: int) -> bytes | str:
    """quantize_model, one epoch at a rate of 1e-5, convert: what the library's guide says; or why it refuses."""
    network = build_classifier(tf_keras, spec)
    assign_weights(network, weights)
    try:
        model = tfmot.quantization.keras.quantize_model(network)
    except (ValueError, RuntimeError) as error:
        return str(error).splitlines()[0]
    tf_keras.utils.set_random_seed(seed)
    model.compile(tf_keras.optimizers.Adam(DOCUMENTED_RATE), "sparse_categorical_crossentropy")
    images = np.asarray(training.images[np.arange(len(training.labels))])
    data = tf.data.Dataset.from_tensor_slices((images, training.labels)).shuffle(len(images), seed=seed)
    data = data.map(lambda image, label: (tf.cast(image, tf.float32), label))
    model.fit(data.batch(BATCH), epochs=1, verbose=0)
    return convert_qat_int8(model)


def _worth(content: bytes | str, test: LabelledImages, path: Path) -> dict[str, Any]:
    if isinstance(content, str):
        return {"refused": content}
    path.write_bytes(content)
    model = LiteModel(path)
    answers = run_all(content, test.images, range(len(test.labels)), "test").argmax(axis=1)
    return {
        "right": (answers == test.labels).astype(int).tolist(), "bytes": len(content),
        "float_tensors": model.tensor_dtypes().count("float32"), "partitions": model.partitions(),
    }  # fmt: skip


def _agreement(equalized: Any, ranges: Ranges, test: LabelledImages) -> dict[str, float]:
    """The simulation against its own file: share of test images of the same class, mean difference."""
    simulated = simulate_int8(equalized, ranges)
    images = np.asarray(test.images[np.arange(len(test.labels))])
    expected = np.concatenate([
        np.asarray(simulated(images[start : start + BATCH].astype(np.float32), training=False))
        for start in range(0, len(images), BATCH)
    ])  # fmt: skip
    given = run_all(convert_qat_int8(simulated), test.images, range(len(images)), "test")
    same = float(np.mean(given.argmax(axis=1) == expected.argmax(axis=1)))
    return {"same_class": same, "mean_difference": float(np.abs(given - expected).mean())}


def _latencies(contents: dict[str, bytes | str], folder: Path) -> dict[str, list[float]]:
    """Medians on one thread, the files in alternation."""
    found: dict[str, list[float]] = {}
    for name, content in contents.items():
        if isinstance(content, bytes):
            (folder / f"{name}.tflite").write_bytes(content)
            found[name] = []
    for _ in range(LATENCY_ROUNDS):
        for name, medians in found.items():
            medians.append(measure_latency(folder / f"{name}.tflite", LATENCY_RUNS, threads=1).median_ms)
    return found


def _epoch_seconds(history: list[dict[str, float]]) -> float:
    return float(np.median([entry["seconds"] for entry in history[1:]] or [float("nan")]))


if __name__ == "__main__":
    keras.config.disable_interactive_logging()
    main()
