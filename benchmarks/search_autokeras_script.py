"""AutoKeras 3 as its documentation has it, on folders of images; every epoch's validation accuracy goes to a file.

Run by search_autokeras.py with the Python of AutoKeras's own environment; of this project it has search_recorder alone.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from search_recorder import recorder

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
BATCH = 32
UNLIMITED = 10_000  # trials: the clock ends the search


def search(folder: Path, work: Path, events: Path, size_px: int, epochs: int, seed: int) -> None:
    """Search until somebody ends the process.

    Args:
        folder: holds train/ and validation/, each with a folder a class.
        work: for AutoKeras's own files.
        events: receives a line of JSON an epoch: time (seconds since 1970), accuracy, trial, epoch.
        size_px: height and width of the images.
        epochs: most epochs of a trial.
        seed: 1 or more.
    """
    import autokeras
    import keras

    images, labels = _arrays(keras, folder / "train", size_px)
    classifier = autokeras.ImageClassifier(
        max_trials=UNLIMITED, objective="val_accuracy", directory=work, overwrite=True, seed=seed
    )
    classifier.fit(
        images, labels, validation_data=_arrays(keras, folder / "validation", size_px), epochs=epochs, batch_size=BATCH,
        verbose=2, callbacks=[recorder(keras, events)],
    )  # fmt: skip


def _arrays(keras: Any, folder: Path, size_px: int) -> tuple[Any, Any]:
    """Images uint8 [n, size_px, size_px, 3] and class numbers int64 [n]: AutoKeras 3 takes arrays alone."""
    import numpy as np

    dataset = keras.utils.image_dataset_from_directory(
        folder,
        label_mode="int",
        batch_size=None,
        image_size=(size_px, size_px),
        shuffle=False,
        pad_to_aspect_ratio=True,
    )
    pairs = [(np.asarray(pixels).round().astype(np.uint8), int(label)) for pixels, label in dataset]
    order = np.random.default_rng(1).permutation(len(pairs))  # class by class they would come otherwise
    return np.stack([pairs[i][0] for i in order]), np.array([pairs[i][1] for i in order], np.int64)


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__)
    for name in ("folder", "work", "events"):
        line.add_argument(name, type=Path)
    for name in ("size_px", "epochs", "seed"):
        line.add_argument(name, type=int)
    search(**vars(line.parse_args()))


if __name__ == "__main__":
    main()
