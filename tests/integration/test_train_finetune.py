"""Fine-tuning: what it starts from, what it keeps, what it survives."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from automl_cnn.data.store import ImageStore, StoreWriter
from automl_cnn.errors import TrainingError
from automl_cnn.models.classifier import build_classifier, levels
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.train.batches import TrainingImages
from automl_cnn.train.checkpoint import Checkpoint
from automl_cnn.train.distill import loss_function, teacher_of
from automl_cnn.train.finetune import FineTuned, FineTuning, fine_tune, probe_seconds
from automl_cnn.train.optimizer import WeightAverage, layerwise_optimizer
from automl_cnn.train.prefix import PrefixBatches, cut_below

keras = pytest.importorskip("keras")
SIZE_PX, CLASSES = 32, 3
SPEC = ClassifierSpec("mobilenet-0.25", SIZE_PX, CLASSES)
PLAN = FineTuning(epochs=3, unfreeze_from_block=7, learning_rate=3e-3, patience=9)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> TrainingImages:
    """Forty-eight blotchy pictures whose mean colour is their class."""
    rng = np.random.default_rng(0)
    labels = np.arange(48) % CLASSES
    folder = tmp_path_factory.mktemp("store")
    with StoreWriter(folder, SIZE_PX, "letterbox") as writer:
        for label in labels:
            blotches = rng.integers(0, 120, (4, 4, 3))
            blotches[:, :, label] += 130
            writer.add(blotches.astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1))
    return TrainingImages(ImageStore.open(folder), np.arange(48), labels, SIZE_PX, "flip", batch_size=16)


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def tune(images: TrainingImages, folder: Path, plan: FineTuning = PLAN, **others: object) -> FineTuned:
    given = {"score": accuracy, "checkpoint": Checkpoint(folder, "one"), "start": {}, "spec": SPEC, **others}
    return fine_tune(plan=plan, training=images, validation=replace(images, policy="none"), **given)


def test_a_killed_training_ends_as_if_it_had_not_been_killed(images: TrainingImages, tmp_path: Path) -> None:
    calls = []

    def killed_at_the_third(labels: np.ndarray, probabilities: np.ndarray) -> float:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return accuracy(labels, probabilities)

    whole = tune(images, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        tune(images, tmp_path / "killed", score=killed_at_the_third)
    assert list((tmp_path / "killed").iterdir())
    continued = tune(images, tmp_path / "killed")
    np.testing.assert_allclose(continued.logits, whole.logits, atol=1e-5)
    assert [entry["loss"] for entry in continued.history[1:]] == pytest.approx([e["loss"] for e in whole.history[1:]])
    assert not list((tmp_path / "killed").iterdir())


def test_a_machine_that_became_too_slow_gets_fewer_epochs_whose_rate_falls_to_the_end(
    images: TrainingImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    monkeypatch.setattr("automl_cnn.train.finetune.time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    long = replace(PLAN, epochs=60, learning_rate=1e-4)
    late = tune(images, tmp_path / "late", long, until_s=0)
    assert [entry["epoch"] for entry in late.history] == [0, 1]
    short = tune(images, tmp_path / "short", long, until_s=next(seconds) + 20)
    rates = [entry["learning_rate"] for entry in short.history[1:]]
    assert 3 <= len(rates) <= 20
    assert rates[-1] < max(rates) / 3


def test_no_memory_means_a_smaller_batch_and_a_message(images: TrainingImages, tmp_path: Path) -> None:
    notes, calls = [], []

    def short_of_memory(labels: np.ndarray, probabilities: np.ndarray) -> float:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return accuracy(labels, probabilities)

    def listen(label: str, done: int, total: int, note: str = "") -> None:
        notes.append(note)

    plan = replace(PLAN, epochs=1)
    tuned = tune(images, tmp_path, plan, score=short_of_memory, progress=listen)
    assert "out of memory: going on with batches of 8" in notes
    assert len(tuned.history) == 2


def test_memory_for_nothing_at_all_is_a_clear_failure(images: TrainingImages, tmp_path: Path) -> None:
    def never(labels: np.ndarray, probabilities: np.ndarray) -> float:
        raise MemoryError

    with pytest.raises(TrainingError, match="2 images of 32 px"):
        tune(replace(images, batch_size=2), tmp_path, replace(PLAN, epochs=0), score=never)


def test_a_loss_that_is_no_number_is_a_clear_failure(images: TrainingImages, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="finite loss"):
        tune(images, tmp_path, replace(PLAN, learning_rate=1e30, optimizer="sgd"))


def test_a_network_from_scratch_learns_with_its_batchnorm(images: TrainingImages, tmp_path: Path) -> None:
    spec, calls = ClassifierSpec("smallnet", SIZE_PX, CLASSES), []

    def later_is_better(labels: np.ndarray, probabilities: np.ndarray) -> float:
        calls.append(1)
        return len(calls) / 100

    plan = replace(PLAN, epochs=4, learning_rate=1e-2, from_scratch=True, ema=0.8)
    tuned = tune(images, tmp_path, plan, spec=spec, score=later_is_better)
    assert tuned.history[-1]["loss"] < 0.7 * tuned.history[1]["loss"]
    means = [arrays[2] for name, arrays in tuned.weights.items() if name.endswith("_bn")]
    assert all(np.abs(mean).max() > 0 for mean in means)


def test_a_student_learns_from_its_teacher_alone(images: TrainingImages, tmp_path: Path) -> None:
    start = keras_weights(SPEC)
    start["logits"] = [np.zeros_like(start["logits"][0]), np.array([9.0, 0.0, -9.0], np.float32)]  # all is class 0
    teacher = teacher_of(replace(SPEC, input_size_px=64), start)

    def belief(labels: np.ndarray, probabilities: np.ndarray) -> float:
        return float(probabilities[:, 0].mean())

    plan = replace(PLAN, epochs=4, distillation_weight=1.0, learning_rate=0.3, layer_decay=0.1)
    tuned = tune(images, tmp_path, plan, teacher=teacher, score=belief)
    assert tuned.score > 0.8 > tuned.history[0]["validation_score"]


def test_a_probe_says_what_an_epoch_takes(images: TrainingImages) -> None:
    probed = probe_seconds(SPEC, {}, PLAN, images)
    assert 0 < probed.epoch_s < probed.once_s < 120


@pytest.mark.parametrize(
    ("backbone", "block"),
    [
        pytest.param("mobilenet-0.25", 6, marks=pytest.mark.exhaustive),
        pytest.param("mobilenetv2-0.35", 5, marks=pytest.mark.exhaustive),
        ("mobilenetv3-small-0.75", 7),
        ("efficientnet-lite0", 4),
    ],
)
def test_prefix_and_top_together_are_the_network(images: TrainingImages, backbone: str, block: int) -> None:
    model = build_classifier(keras, ClassifierSpec(backbone, SIZE_PX, CLASSES))
    cut = cut_below(model, block)
    batches = PrefixBatches(cut.prefix, replace(images, policy="none"), SIZE_PX, "test")
    found = np.concatenate([cut.top.predict_on_batch(batch.inputs) for batch in batches.epoch(0, shuffle=False)])
    pixels = np.concatenate(list(images.in_order())).astype(np.float32)
    whole = keras.Model(model.inputs[0], model.get_layer("logits").output)
    np.testing.assert_allclose(found, whole.predict_on_batch(pixels), atol=2e-3)
    level = levels(model)
    assert all(level[layer.name] >= block for layer in cut.top.layers if layer.name in level)


def test_rates_fall_from_the_head_down() -> None:
    model = build_classifier(keras, ClassifierSpec("mobilenet-0.25", SIZE_PX, CLASSES))
    level = levels(model)
    optimizer = layerwise_optimizer(keras, "sgd", level, layer_decay=0.5, weight_decay=0.0, momentum=0.0)
    optimizer.build(model.trainable_variables)
    optimizer.learning_rate = 1.0
    before = {v.path: v.numpy() for v in model.trainable_variables}
    optimizer.apply([keras.ops.ones_like(v) for v in model.trainable_variables])
    for variable in model.trainable_variables:
        moved = float((before[variable.path] - variable.numpy()).mean())
        assert moved == pytest.approx(0.5 ** (9 - level[variable.path.split("/")[-2]]), rel=1e-3)


def test_the_average_stands_in_only_while_it_is_judged() -> None:
    variable = keras.Variable([0.0])
    average = WeightAverage([variable], 0.9)
    for value in (1.0, 1.0, 4.0):
        variable.assign([value])
        average.update()
    with average.in_place():
        assert 0.5 < float(variable.numpy()[0]) < 4.0
    assert float(variable.numpy()[0]) == 4.0


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_loss_is_least_where_labels_and_teacher_are_met(weight: float) -> None:
    labels, advice = np.eye(3, dtype=np.float32), 8 * np.eye(3, dtype=np.float32)
    targets = np.concatenate([labels, advice], axis=1) if weight else labels
    loss: Callable[[np.ndarray, np.ndarray], float] = loss_function(keras, 0.0, weight, 2.0)
    right, wrong = (float(np.mean(loss(targets, logits))) for logits in (advice, np.roll(advice, 1, axis=0)))
    assert right < 0.4 < wrong


def keras_weights(spec: ClassifierSpec) -> dict[str, list[np.ndarray]]:
    model = build_classifier(keras, spec)
    return {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}
