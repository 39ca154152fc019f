"""What a careful user writes today: keras-tuner over image_dataset_from_directory, the whole network trained a trial.

Run by search_recipe.py in a process of its own; every epoch's validation accuracy goes to a file with the time of day.
Given to its advantage: the same pretrained weights; images decoded once and kept in memory; BatchNormalization in
inference mode, as Keras's guide to fine-tuning has it; AdamW with a cosine; trials stopped after three epochs without a
gain; no XLA, which Keras takes by itself and with which this network runs several times slower on a CPU.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from search_recorder import recorder

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
BATCH, PATIENCE = 32, 3
UNLIMITED = 10_000  # trials: the clock ends the search


def search(
    folder: Path, work: Path, events: Path, backbone: str, size_px: int, epochs: int, seed: int, kind: str
) -> None:
    """Search until somebody ends the process.

    Args:
        folder: holds train/ and validation/, each with a folder a class.
        work: for keras-tuner's own files.
        events: receives a line of JSON an epoch: time (seconds since 1970), accuracy, trial, epoch.
        backbone: name in the registry; its pretrained weights are used.
        size_px: height and width of the input.
        epochs: most epochs of a trial.
        seed: 1 or more.
        kind: random or hyperband.
    """
    import keras
    import keras_tuner

    from automl_cnn.models import pretrained
    from automl_cnn.models.classifier import build_classifier
    from automl_cnn.models.spec import ClassifierSpec
    from automl_cnn.models.weights import assign_weights

    training, validation = (_dataset(keras, folder / side, size_px) for side in ("train", "validation"))
    classes, images = len(list((folder / "train").iterdir())), int(training.cardinality())
    training = training.cache().shuffle(images, seed=seed).batch(BATCH).prefetch(2)
    validation = validation.cache().batch(BATCH).prefetch(2)
    weights = pretrained.load(backbone)

    def build(hp: Any) -> Any:
        keras.utils.set_random_seed(seed)
        dropout, hidden_units = hp.Choice("dropout", [0.0, 0.2, 0.4]), hp.Choice("hidden_units", [0, 128, 256])
        network = build_classifier(keras, ClassifierSpec(backbone, size_px, classes, hidden_units, dropout))
        assign_weights(network, weights)
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        inputs = keras.Input((size_px, size_px, 3))
        shown = keras.layers.RandomFlip("horizontal", seed=seed)(inputs) if hp.Boolean("flip") else inputs
        model = keras.Model(inputs, network(shown))
        rate = hp.Float("learning_rate", 3e-5, 3e-3, sampling="log")
        schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * -(-images // BATCH))
        smoothing = hp.Choice("label_smoothing", [0.0, 0.05, 0.1])
        model.compile(
            keras.optimizers.AdamW(schedule),
            keras.losses.CategoricalCrossentropy(label_smoothing=smoothing),
            metrics=["accuracy"],
            jit_compile=False,
        )
        return model

    common: dict[str, Any] = {"objective": "val_accuracy", "seed": seed, "directory": work, "overwrite": True}
    if kind == "hyperband":
        tuner = keras_tuner.Hyperband(build, max_epochs=epochs, **common)
    else:
        tuner = keras_tuner.RandomSearch(build, max_trials=UNLIMITED, **common)
    # it imports tensorboard, which TensorFlow no longer brings along, even where nobody asks for it
    tuner._configure_tensorboard_dir = lambda *_: None
    tuner.search(
        training, validation_data=validation, epochs=epochs, verbose=2,
        callbacks=[keras.callbacks.EarlyStopping("val_accuracy", patience=PATIENCE), recorder(keras, events)],
    )  # fmt: skip


def _dataset(keras: Any, folder: Path, size_px: int) -> Any:
    """Single images, float32 [size_px, size_px, 3], with the class as one of n; padded to a square as ours are."""
    return keras.utils.image_dataset_from_directory(
        folder, label_mode="categorical", batch_size=None, image_size=(size_px, size_px), shuffle=False,
        pad_to_aspect_ratio=True,
    )  # fmt: skip


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__)
    for name in ("folder", "work", "events"):
        line.add_argument(name, type=Path)
    line.add_argument("backbone")
    for name in ("size_px", "epochs", "seed"):
        line.add_argument(name, type=int)
    line.add_argument("kind", choices=("random", "hyperband"))
    search(**vars(line.parse_args()))


if __name__ == "__main__":
    main()
