"""The float model as files: what the next stages read and what a Keras user loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing_folder, write_json, write_lines
from automl_cnn.models.classifier import build_classifier
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, assign_weights, save_weights


@dataclass(frozen=True)
class TrainedModel:
    """Everything that model/ holds.

    Attributes:
        spec: the network.
        weights: of every layer, temperature folded in.
        classes: names in the order of the output.
        preprocessing: working_size_px, input_size_px, resize, max_megapixels.
        history: one entry an epoch.
        result: objective, scores on validation, best epoch, temperature.
    """

    spec: ClassifierSpec
    weights: Weights
    classes: list[str]
    preprocessing: dict[str, Any]
    history: list[dict[str, float]]
    result: dict[str, Any]


def write_model(folder: Path, trained: TrainedModel, golden_images: NDArray[np.uint8]) -> None:
    """Write model.keras, weights.npz, spec.json, labels.txt, preprocessing.json, history.csv, result.json, golden.npz.

    Args:
        folder: replaced as a whole.
        trained: what to write.
        golden_images: uint8 [n, H, W, 3]; their probabilities are kept so that every later copy of the network, in
            another framework or number format, can be held against this one.
    """
    import keras

    model = build_classifier(keras, trained.spec)
    assign_weights(model, trained.weights)
    probabilities = np.asarray(model.predict_on_batch(golden_images.astype(np.float32)))
    with replacing_folder(folder) as temporary:
        model.save(temporary / "model.keras")
        save_weights(temporary / "weights.npz", trained.weights)
        trained.spec.save(temporary / "spec.json")
        write_lines(temporary / "labels.txt", trained.classes)
        write_json(temporary / "preprocessing.json", trained.preprocessing)
        write_json(temporary / "result.json", trained.result)
        pd.DataFrame(trained.history).to_csv(temporary / "history.csv", index=False)
        np.savez(temporary / "golden.npz", images=golden_images, probabilities=probabilities)
