"""What training on frozen parts saves: python benchmarks/training.py

Clothing, by its published split, at 160 px with EfficientNet-Lite0; both sides in alternation, a ratio is the median
over the rounds. About ten minutes on two cores.

heads    a head on frozen features in numpy, against the same head, settings and number of steps in Keras, whose model
         is built anew as every trial of a search does. Expected: ten times as fast.
prefix   an epoch of fine-tuning in which the frozen blocks run in the feature engine, against Keras running the whole
         network with those blocks frozen. Expected: from block 6 up twice the images a second in training, five times
         in validation; from block 4 up little more than one, as most of the work is above the cut.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from harness import Result, alternate, parser, times_faster
from numpy.typing import NDArray
from prepared import KEPT, prepare

from automl_cnn.data.store import ImageStore
from automl_cnn.features.cache import FeatureCache
from automl_cnn.features.frozen import FrozenNetwork
from automl_cnn.models import pretrained
from automl_cnn.models.classifier import build_classifier, levels
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import assign_weights
from automl_cnn.quiet import import_quietly
from automl_cnn.train.batches import TrainingImages
from automl_cnn.train.head import BATCH, HeadSettings, fit_head
from automl_cnn.train.objective import objective_score
from automl_cnn.train.optimizer import layerwise_optimizer
from automl_cnn.train.prefix import PrefixBatches, WholeNetwork, cut_below

PARTS = ("heads", "prefix")
BACKBONE, SIZE_PX, SEED, ROUNDS = "efficientnet-lite0", 160, 1, 5
UNITS, BLOCKS, STEPS = (0, 128), (7, 6, 4), 8
POLICIES = {"flips": "views kept", "crop": "views drawn anew"}
BATCH_SIZE = 32


@dataclass(frozen=True)
class Sides:
    """Training and validation images: rows of the store and classes, int64 [n] each, and where both are found."""

    store: ImageStore
    classes: int
    training: tuple[NDArray[np.int64], NDArray[np.int64]]
    validation: tuple[NDArray[np.int64], NDArray[np.int64]]


def main() -> None:
    asked = parser(__doc__, PARTS).parse_args()
    prepared = prepare("clothing", asked.data)
    if prepared is None:
        return
    import_quietly("keras")
    sides = _sides(prepared.images, prepared.store)
    settings = {"set": "clothing, published split", "training": len(sides.training[0]), "backbone": BACKBONE,
                "validation": len(sides.validation[0]), "size_px": SIZE_PX, "seed": SEED, "rounds": ROUNDS}  # fmt: skip
    result = Result("training", settings)
    for part in asked.parts:
        (measure_heads if part == "heads" else measure_prefix)(result, sides)
    result.write(asked.out)


def _sides(images: pd.DataFrame, store: ImageStore) -> Sides:
    codes, names = pd.factorize(images["label"], sort=True)

    def side(name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        chosen = (images["official_split"] == name).to_numpy()
        return images.loc[chosen, "store_row"].to_numpy(np.int64), codes[chosen].astype(np.int64)

    return Sides(store, len(names), side("train"), side("validation"))


def measure_heads(result: Result, sides: Sides) -> None:
    """The same head by both, from features in memory to scored on validation."""
    cache = FeatureCache(KEPT / "training")
    features, held_out = (
        cache.fetch(FrozenNetwork(BACKBONE, SIZE_PX), sides.store, rows).astype(np.float32)
        for rows, _ in (sides.training, sides.validation)
    )
    labels, expected = sides.training[1], sides.validation[1]
    settings, rows = HeadSettings(seed=SEED), []
    for units in UNITS:
        spec = ClassifierSpec(BACKBONE, SIZE_PX, sides.classes, units, 0.2)
        scores: dict[str, float] = {}

        def numpy_head(spec: ClassifierSpec = spec, scores: dict[str, float] = scores) -> None:
            fitted = fit_head(spec, settings, [features], labels, (held_out, expected), _macro_f1)
            scores["numpy"] = fitted.score

        def keras_head(spec: ClassifierSpec = spec, scores: dict[str, float] = scores) -> None:
            probabilities = _keras_head(spec, settings, features, labels, (held_out, expected))
            scores["keras"] = _macro_f1(expected, probabilities)

        taken, _ = alternate({"numpy": numpy_head, "Keras": keras_head}, ROUNDS)
        ratio = times_faster(taken["numpy"], taken["Keras"])
        medians = (statistics.median(taken[name]) for name in ("numpy", "Keras"))
        rows.append((units, *medians, ratio, scores["numpy"], scores["keras"]))
    result.table(
        f"A head on {len(features):,} × {features.shape[1]:,} features, seconds",
        ("hidden units", "numpy", "Keras", "Keras / numpy", "macro F1, numpy", "macro F1, Keras"), rows,
    )  # fmt: skip


def _keras_head(
    spec: ClassifierSpec,
    settings: HeadSettings,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    validation: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> NDArray[np.float32]:
    """What a trial on features is in Keras: as many epochs, the best of them kept."""
    import keras

    keras.utils.set_random_seed(settings.seed)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.maximum(deviation, np.median(deviation))
    hidden = [keras.layers.Dense(spec.hidden_units, "relu")] if spec.hidden_units else []
    model = keras.Sequential(
        [keras.Input(features.shape[1:]), *hidden, keras.layers.Dropout(spec.dropout), keras.layers.Dense(spec.classes)]
    )
    steps = settings.epochs * -(-len(labels) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.AdamW(rate, settings.weight_decay)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    keep = keras.callbacks.EarlyStopping("val_accuracy", patience=settings.epochs, restore_best_weights=True)
    held_out = (validation[0] - mean) / deviation
    model.fit(
        (features - mean) / deviation, labels, BATCH, settings.epochs, verbose=0, callbacks=[keep],
        validation_data=(held_out, validation[1]), validation_batch_size=BATCH,
    )  # fmt: skip
    return np.asarray(keras.ops.softmax(model.predict(held_out, verbose=0)))


def measure_prefix(result: Result, sides: Sides) -> None:
    """Steps of training and of validation, the frozen blocks in the engine or in Keras."""
    rows = []
    for block in BLOCKS:
        for policy, told in POLICIES.items():
            images = TrainingImages(
                sides.store, sides.training[0][: STEPS * BATCH_SIZE], sides.training[1][: STEPS * BATCH_SIZE], SIZE_PX,
                policy, BATCH_SIZE, SEED,
            )  # fmt: skip
            cut, whole = _trained(block, sides.classes, whole=False), _trained(block, sides.classes, whole=True)
            batches = [PrefixBatches(engine, images, SIZE_PX, "training") for engine, _ in (cut, whole)]
            plain = replace(images, policy="none")
            held_out = [PrefixBatches(engine, plain, SIZE_PX, "validation") for engine, _ in (cut, whole)]
            epoch = iter(range(10**6))
            training, _ = alternate({
                "cut": lambda cut=cut, own=batches[0], epoch=epoch: _train(cut[1], own, next(epoch)),
                "whole": lambda whole=whole, own=batches[1], epoch=epoch: _train(whole[1], own, next(epoch)),
            }, ROUNDS)  # fmt: skip
            judged, _ = alternate({
                "cut": lambda cut=cut, own=held_out[0]: _judge(cut[1], own),
                "whole": lambda whole=whole, own=held_out[1]: _judge(whole[1], own),
            }, ROUNDS)  # fmt: skip
            rows.append((
                f"{block}, {policy}: {told}",
                *(len(images.rows) / statistics.median(training[name]) for name in ("cut", "whole")),
                times_faster(training["cut"], training["whole"]),
                *(len(images.rows) / statistics.median(judged[name]) for name in ("cut", "whole")),
                times_faster(judged["cut"], judged["whole"]),
            ))  # fmt: skip
    result.table(
        f"Fine-tuning {BACKBONE} at {SIZE_PX} px, images a second",
        ("from block", "training, cut", "training, whole", "ratio", "validation, cut", "validation, whole", "ratio "),
        rows,
    )


def _trained(block: int, classes: int, *, whole: bool) -> tuple[Any, Any]:
    """(engine of the frozen part, Keras model of the rest), compiled as `train.finetune` does."""
    import keras

    model = build_classifier(keras, ClassifierSpec(BACKBONE, SIZE_PX, classes))
    assign_weights(model, pretrained.load(BACKBONE))
    level = levels(model)
    for layer in model.layers:
        layer.trainable = level[layer.name] >= block and not layer.name.endswith("_bn") and layer.name != "normalize"
    if whole:
        engine: Any = WholeNetwork(model.input_shape[1:])
        network = keras.Model(model.inputs[0], model.get_layer("logits").output)
    else:
        cut = cut_below(model, block)
        engine, network = cut.prefix, cut.top
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    network.compile(layerwise_optimizer(keras, "adamw", level, 0.8, 1e-3), loss, jit_compile=False)
    return engine, network


def _train(network: Any, batches: PrefixBatches, epoch: int) -> None:
    onehot = np.eye(network.output_shape[-1], dtype=np.float32)
    for batch in batches.epoch(epoch):
        network.train_on_batch(batch.inputs, onehot[batch.labels])


def _judge(network: Any, batches: PrefixBatches) -> None:
    for batch in batches.epoch(0, shuffle=False):
        network.predict_on_batch(batch.inputs)


def _macro_f1(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    return objective_score("macro_f1", labels, probabilities)


if __name__ == "__main__":
    main()
