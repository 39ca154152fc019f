"""Gather what a search looks at, and tell one study's data from another's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import Files
from automl_cnn.data.split_images import split_rows
from automl_cnn.features.stage_files import read_features, read_views
from automl_cnn.search import trial
from automl_cnn.search.trial import SearchData
from automl_cnn.train import candidate, head, objective


def gather(files: Files, backbones: list[str], augmentations: list[str]) -> SearchData:
    """Read features and labels of the training and validation side.

    Args:
        files: the places of features/ and split/.
        backbones: whose features are read.
        augmentations: policies whose views are read.
    """
    training, validation = split_rows(files, "train"), split_rows(files, "validation")
    views: dict[tuple[str, str], list[NDArray[np.float16]]] = {}
    held_out = {}
    for backbone in backbones:
        folder = files.features / backbone
        held_out[backbone] = read_features(folder)[validation.store_rows]
        for policy in augmentations:
            views[backbone, policy] = [view[training.store_rows] for view in read_views(folder, policy)]
    return SearchData(views, training.labels, held_out, validation.labels, len(training.classes))


def data_digest(data: SearchData) -> str:
    """Sixteen hexadecimal digits of the features, the labels and the code that a trial runs."""
    sha = hashlib.sha256()
    for module in (candidate, head, objective, trial):
        sha.update(Path(str(module.__file__)).read_bytes())
    for key in sorted(data.train_views):
        sha.update(repr(key).encode())
        for view in data.train_views[key]:
            sha.update(np.ascontiguousarray(view).tobytes())
    for backbone in sorted(data.validation):
        sha.update(np.ascontiguousarray(data.validation[backbone]).tobytes())
    sha.update(data.train_labels.tobytes() + data.validation_labels.tobytes())
    return sha.hexdigest()[:16]
