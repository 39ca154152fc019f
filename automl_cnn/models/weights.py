"""Weights as arrays by layer name: carried between Keras 3 and tf_keras, folded, kept in files."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing
from automl_cnn.errors import ArtifactError, WeightsError

Weights = dict[str, list[NDArray[np.float32]]]
"""Layer name → its arrays in the order of `layer.get_weights()`."""


def assign_weights(model: Any, weights: Weights) -> None:
    """Set a model's weights by layer name; layers that `weights` does not name keep theirs.

    Raises:
        WeightsError: a named layer is not in the model, or a shape differs; names the layer.
    """
    layers = {layer.name: layer for layer in model.layers}
    for name, arrays in weights.items():
        expected = [tuple(array.shape) for array in layers[name].get_weights()] if name in layers else []
        received = [tuple(array.shape) for array in arrays]
        if expected != received:
            raise WeightsError(
                f"layer {name}", expected=f"shapes {expected}" if expected else "a layer of this name",
                received=f"shapes {received}", action="Use weights that belong to this network.",
            )  # fmt: skip
        layers[name].set_weights(arrays)


def extract_weights(model: Any) -> Weights:
    """All weights of a model by layer name."""
    return {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}


def fold_batchnorm(weights: Weights, epsilon: float) -> Weights:
    """Merge every BatchNormalization into the convolution before it.

    Args:
        weights: of a model built with `folded=False`; layers x_conv and x_bn belong together.
        epsilon: of its BatchNormalization, `Backbone.batchnorm_epsilon`.
    Returns:
        Weights of the same function built with `folded=True`: max |logit difference| ≤ 1e-4.
    Source: Jacob et al. 2018, section 3.2.
    """
    folded: Weights = {}
    for name, arrays in weights.items():
        if name.endswith("_bn"):
            continue
        batchnorm = weights.get(f"{name.removesuffix('_conv')}_bn") if name.endswith("_conv") else None
        if batchnorm is None:
            folded[name] = arrays
            continue
        gamma, beta, mean, variance = (array.astype(np.float64) for array in batchnorm)
        scale = gamma / np.sqrt(variance + epsilon)
        kernel = arrays[0]
        depthwise = "_depthwise_" in name  # kernel [h, w, channels, 1] there, [h, w, in, out] elsewhere
        per_output = scale[:, None] if depthwise else scale
        folded[name] = [(kernel * per_output).astype(np.float32), (beta - mean * scale).astype(np.float32)]
    return folded


def save_weights(path: Path, weights: Weights) -> None:
    """Write weights as .npz, arrays named layer:index."""
    flat = {f"{name}:{index}": array for name, arrays in weights.items() for index, array in enumerate(arrays)}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **flat)  # type: ignore[arg-type]


def load_weights(path: Path) -> Weights:
    """Read what `save_weights` wrote.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    weights: Weights = {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            for key in sorted(stored.files, key=lambda key: (key.rpartition(":")[0], int(key.rpartition(":")[2]))):
                weights.setdefault(key.rpartition(":")[0], []).append(stored[key])
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            str(path), expected="weights as .npz", received=str(error), action="Run `dvc repro train`."
        ) from None
    return weights


def digest(weights: Weights) -> str:
    """Sixteen hexadecimal digits that depend on names and values alone."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        for array in weights[name]:
            sha.update(f"{name}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:16]
