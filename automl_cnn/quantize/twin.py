"""The tf_keras twin of the trained Keras 3 network: same function, BatchNormalization folded, ready for tfmot.

tfmot accepts tf_keras models alone, so the network is built again from its spec and its weights are carried over by
layer name; `check_parity` proves that nothing was lost on the way.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import read_lines
from automl_cnn.errors import ArtifactError, QuantizeError
from automl_cnn.models.classifier import build_classifier
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, assign_weights, fold_batchnorm, load_weights
from automl_cnn.quantize.bias_room import widen_bias_room

TOLERANCE = 1e-4
PREDICT_BATCH = 32


@dataclass(frozen=True)
class FloatModel:
    """The trained network as the train stage left it.

    Attributes:
        spec: what it is built from.
        weights: of the unfolded network, by layer name; the calibration temperature is already in `logits`.
        class_names: in the order of the outputs.
        golden_images: uint8 RGB [n, H, W, 3] on which the trained network was run.
        golden_probabilities: float32 [n, classes], what it answered.
    """

    spec: ClassifierSpec
    weights: Weights
    class_names: list[str]
    golden_images: NDArray[np.uint8]
    golden_probabilities: NDArray[np.float32]


def load_float_model(folder: Path) -> FloatModel:
    """Read what the train stage wrote.

    Args:
        folder: artifacts/model.
    Raises:
        ArtifactError: a file is missing or damaged.
    """
    images, probabilities = load_golden(folder / "golden.npz")
    return FloatModel(
        ClassifierSpec.load(folder / "spec.json"), load_weights(folder / "weights.npz"),
        read_lines(folder / "labels.txt"), images, probabilities,
    )  # fmt: skip


def build_twin(spec: ClassifierSpec, weights: Weights) -> Any:
    """Build the network in tf_keras without BatchNormalization; one that is only in Keras 3, there and as it is.

    Args:
        spec: of the trained network; its dropout is left out, because a few steps under a teacher need none.
        weights: of the unfolded network.
    Returns:
        A flat functional model, float32 [batch, H, W, 3] RGB in 0…255 to float32 [batch, classes] probabilities.
    Raises:
        WeightsError: the weights belong to another network; names the layer.
    """
    backbone = backbone_of(spec.backbone)
    if backbone.keras_only:
        import keras

        whole = build_classifier(keras, replace(spec, dropout=0.0))
        assign_weights(whole, weights)
        return whole
    import tf_keras

    twin = build_classifier(tf_keras, replace(spec, dropout=0.0), folded=True)
    assign_weights(twin, widen_bias_room(fold_batchnorm(weights, backbone.batchnorm_epsilon)))
    return twin


def check_parity(twin: Any, images: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> float:
    """Prove that the twin answers as the trained network did.

    Args:
        twin: from `build_twin`.
        images: uint8 RGB [n, H, W, 3].
        probabilities: float32 [n, classes] of the trained network for these images.
    Returns:
        The largest absolute difference of a probability, at most TOLERANCE.
    Raises:
        QuantizeError: the difference is larger; names the image and the class.
    """
    answered = twin.predict(images.astype(np.float32), batch_size=PREDICT_BATCH, verbose=0)
    if answered.shape != probabilities.shape:
        raise QuantizeError(
            "tf_keras twin", expected=f"probabilities of shape {probabilities.shape}",
            received=f"shape {answered.shape}", action="Run `dvc repro train`.",
        )  # fmt: skip
    difference = np.abs(answered - probabilities)
    worst = float(difference.max())
    if not worst <= TOLERANCE:  # NaN fails too
        image, output = np.unravel_index(int(np.nan_to_num(difference, nan=np.inf).argmax()), difference.shape)
        raise QuantizeError(
            "tf_keras twin", expected=f"the trained network's probabilities within {TOLERANCE:g}",
            received=f"a difference of {worst:.2g} for golden image {image}, class {output}",
            action="weights.npz and golden.npz do not belong together: run `dvc repro --force train`.",
        )  # fmt: skip
    return worst


def load_golden(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Images and probabilities of golden.npz, as FloatModel has them.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored["images"], stored["probabilities"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            str(path), expected="images and probabilities as .npz", received=str(error), action="Run `dvc repro train`."
        ) from None
