"""Where the model looked in the images of failures.parquet: heat maps for its answer and for the label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import MANIFEST, Files, Table, read_lines, read_table, replacing_folder, write_table
from automl_cnn.data.split_images import load_images
from automl_cnn.data.store import ImageStore
from automl_cnn.evaluate.failures import FAILURES
from automl_cnn.evaluate.gradcam import GradCam
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import load_weights
from automl_cnn.progress import Progress, silent

EXPLANATIONS = Table("explanations", 1, ("image_id", "path", "row", "predicted", "label", "network_predicted"))
HEAT = "heat.npz"


@dataclass(frozen=True)
class Explanations:
    """What the explain stage finds.

    Attributes:
        index: EXPLANATIONS table, one row an image of failures.parquet; `row` is its place in the heat maps. They are
            those of the float network (what quantization rounds away has no gradient): where network_predicted, its
            own answer, is not the predicted class of the shipped file, the map shows what little spoke for that.
        predicted: uint8 [n, S, S], what speaks for the class that the shipped file answered; 255 most, 0 nothing.
        label: uint8 [n, S, S], what speaks for the label. S is the network's input; the square holds the letterbox.
    """

    index: pd.DataFrame
    predicted: NDArray[np.uint8]
    label: NDArray[np.uint8]


def explain_failures(files: Files, progress: Progress = silent) -> Explanations:
    """Run Grad-CAM over every image of failures.parquet.

    Args:
        files: model/, images/, the manifest and evaluation/ are read.
        progress: told of every batch.
    Raises:
        ArtifactError: one of them is missing or damaged.
    """
    failures = read_table(files.evaluation / "failures.parquet", FAILURES)
    shown = failures.drop_duplicates("image_id")[["image_id", "path", "predicted", "label"]].reset_index(drop=True)
    spec = ClassifierSpec.load(files.model / "spec.json")
    class_names = read_lines(files.model / "labels.txt")
    stored = read_table(files.manifest, MANIFEST).set_index("image_id")["store_row"]
    rows = stored.loc[shown["image_id"]].to_numpy(np.int64)
    images = load_images(ImageStore.open(files.images), rows, spec.input_size_px)
    place = {name: i for i, name in enumerate(class_names)}
    asked = np.array([shown[name].map(place) for name in ("predicted", "label")], np.int64).T  # (n, 2)
    network = GradCam(spec, load_weights(files.model / "weights.npz"))
    heat, answers = network.explain(images, asked.reshape(-1, 2), progress)
    index = shown.assign(row=np.arange(len(shown)), network_predicted=np.array(class_names, dtype=object)[answers])
    return Explanations(index[list(EXPLANATIONS.columns)], heat[:, 0], heat[:, 1])


def write_explanations(folder: Path, found: Explanations) -> None:
    """Write explanations/: index.parquet, and heat.npz with the arrays `predicted` and `label`."""
    with replacing_folder(folder) as temporary:
        write_table(temporary / "index.parquet", found.index, EXPLANATIONS)
        with (temporary / HEAT).open("wb") as file:
            np.savez_compressed(file, predicted=found.predicted, label=found.label)


def load_heat(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """The two arrays of heat.npz, `predicted` and `label`, uint8 [n, S, S] each."""
    with np.load(folder / HEAT, allow_pickle=False) as stored:
        return {name: stored[name] for name in ("predicted", "label")}
