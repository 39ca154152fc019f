"""Make the reference of a file from the sides of the split that were allowed to shape it: training and validation."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import MANIFEST, Files, read_lines, read_table
from automl_cnn.audit.properties import measure_properties
from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.data.split_images import SplitRows, load_images, split_rows
from automl_cnn.data.store import ImageStore
from automl_cnn.litert import LiteCopies
from automl_cnn.progress import Progress, silent
from automl_cnn.reference import ood
from automl_cnn.reference.abstention import PRECISIONS, USUAL_PRECISION, thresholds
from automl_cnn.reference.record import Reference
from automl_cnn.reference.sketch import Sketcher
from automl_cnn.reference.statistics import STATISTICS
from automl_cnn.tflite_features import with_features

MOST_TRAINING = 500  # images of the bank; twice as many cost three seconds more and hardly move the fifth neighbour


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
    read = partial(load_images, store, input_size_px=copies.input_shape[1])
    training, validation = split_rows(files, "train"), split_rows(files, "validation")
    drawn = np.random.default_rng(seed).permutation(len(training.store_rows))[:MOST_TRAINING]
    shown = training.store_rows[np.sort(drawn)]
    _, features = copies.run_rows(read, shown, "training images for the reference", progress)
    sketcher = Sketcher.fit(features)
    bank = sketcher(features)
    probabilities, features = copies.run_rows(
        read, validation.store_rows, "validation images for the reference", progress
    )
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


def _statistics(files: Files, store: ImageStore, side: SplitRows, progress: Progress) -> NDArray[np.float64]:
    manifest = read_table(files.manifest, MANIFEST)[["image_id", "width", "height", "store_row"]]
    rows = side.table[["image_id"]].merge(manifest, on="image_id", how="left", validate="one_to_one")
    return measure_properties(rows, store, progress)[list(STATISTICS)].to_numpy(np.float64)
