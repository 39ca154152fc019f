"""Make the reference of a file from the sides of the split that were allowed to shape it: training and validation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import MANIFEST, Files, read_lines, read_table
from automl_cnn.config import Resize
from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.data.split_images import SplitRows, load_images, split_rows
from automl_cnn.data.store import ImageStore
from automl_cnn.litert import LiteCopies
from automl_cnn.progress import Progress, silent
from automl_cnn.reference import ood
from automl_cnn.reference.abstention import PRECISIONS, USUAL_PRECISION, thresholds
from automl_cnn.reference.record import Reference
from automl_cnn.reference.sketch import Sketcher
from automl_cnn.reference.statistics import image_statistics
from automl_cnn.tflite_features import with_features

MOST_TRAINING = 500  # images of the bank; twice as many cost three seconds more and hardly move the fifth neighbour
_AT_ONCE = 64


def build_reference(files: Files, model: Path, seed: int, progress: Progress = silent) -> Reference:
    """Run the shipped file over validation and a part of training, and note what it makes of them.

    Args:
        files: images, manifest, splits.
        model: the .tflite file; labels.txt lies beside it.
        seed: of the draw of training images.
        progress: told about every block of images.
    Returns:
        The reference; the test split is not read.
    Raises:
        ArtifactError: a file of an earlier stage is missing.
        ModelFileError: the model is damaged, or has no head.
    """
    labels = read_lines(model.with_name("labels.txt"))
    store, content = ImageStore.open(files.images), model.read_bytes()
    copies = LiteCopies(with_features(content), available_cpus(), outputs=2)
    run = partial(_run, copies, partial(load_images, store, input_size_px=copies.input_shape[1]), progress)
    training, validation = split_rows(files, "train"), split_rows(files, "validation")
    drawn = np.random.default_rng(seed).permutation(len(training.store_rows))[:MOST_TRAINING]
    _, features = run(training.store_rows[np.sort(drawn)], "training images for the reference")
    sketcher = Sketcher.fit(features)
    bank = sketcher(features)
    probabilities, features = run(validation.store_rows, "validation images for the reference")
    sketches = sketcher(features)
    answers = pd.Categorical(validation.table["label"], categories=labels).codes.astype(np.int64)
    return Reference(
        labels=tuple(labels),
        model_sha256=hashlib.sha256(content).hexdigest(),
        sketcher=sketcher,
        bank=bank,
        sketches=sketches,
        probabilities=probabilities,
        answers=answers,
        groups=pd.factorize(validation.table["group"])[0].astype(np.int64),
        statistics=_statistics(files, store, validation, progress),
        thresholds={each: thresholds(answers, probabilities, labels, each) for each in PRECISIONS},
        precision=USUAL_PRECISION,
        ood_threshold=ood.threshold(ood.scores(sketches, bank)),
    )


def _run(
    copies: LiteCopies,
    read: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    progress: Progress,
    rows: NDArray[np.int64],
    label: str,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities [n, classes] and features [n, d] of rows of the store."""
    blocks = []
    for start in range(0, len(rows), _AT_ONCE):
        blocks.append(copies.run_each_outputs(read(rows[start : start + _AT_ONCE])))
        progress(label, min(start + _AT_ONCE, len(rows)), len(rows))
    probabilities, features = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return probabilities, features


def _statistics(files: Files, store: ImageStore, side: SplitRows, progress: Progress) -> NDArray[np.float64]:
    sizes = read_table(files.manifest, MANIFEST)[["image_id", "width", "height"]]
    sides = side.table[["image_id"]].merge(sizes, on="image_id", how="left", validate="one_to_one")
    found = []
    for start in range(0, len(sides), _AT_ONCE):
        part = sides.iloc[start : start + _AT_ONCE]
        pictures = store.read(side.store_rows[start : start + _AT_ONCE])
        for pixels, width, height in zip(pictures, part["width"], part["height"], strict=True):
            found.append(image_statistics(pixels, int(width), int(height), cast(Resize, store.resize)))
        progress("looks of the validation images", len(found), len(sides))
    return np.array(found, np.float64)
