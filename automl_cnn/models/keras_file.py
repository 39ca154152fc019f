"""Read an .h5 weights file of a keras.applications network, and give its arrays our layer names.

Keras writes two formats, and neither says reliably which array belongs to which layer: it is the order of the layers in
the network that tells. So the file is loaded by Keras into the network that it was written from, and the arrays are
taken from there.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import WeightsError
from automl_cnn.models import applications
from automl_cnn.models.backbone import Application, Backbone
from automl_cnn.quiet import import_quietly

Arrays = dict[str, list[NDArray[np.float32]]]
SIZE_PX = 224  # of the network that is filled; its weights do not depend on it


def read_keras_file(path: Path, backbone: Backbone) -> Arrays:
    """Read the weights of a backbone, written with or without the classification head.

    Args:
        path: .h5 of Keras 2 or .weights.h5 of Keras 3.
        backbone: one with weights of a keras.applications network.
    Returns:
        Arrays of every pretrained layer of the backbone.
    Raises:
        WeightsError: the file is damaged or belongs to another network; says what did not fit.
    """
    _check_hdf5(path)
    import_quietly("keras")
    headed = not re.search(r"no_?top", path.name)  # what the name says is tried first
    try:
        weights = _loaded(path, backbone, headed)
    except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
        try:
            weights = _loaded(path, backbone, not headed)
        except (ValueError, KeyError, OSError, TypeError, AttributeError):
            raise _misfit(path, backbone, _one_line(error)) from None
    for layer, arrays in weights.items():
        if not all(np.isfinite(array).all() for array in arrays):
            raise _misfit(path, backbone, f"nothing, or values that are no numbers, for layer {layer}")
    return weights


def _loaded(path: Path, backbone: Backbone, headed: bool) -> Arrays:
    network = _network(backbone, headed)
    for layer in network.layers:  # what the file does not fill stays NaN: Keras may pass over a layer with a warning
        layer.set_weights([np.full(weight.shape, np.nan, np.float32) for weight in layer.weights])
    with warnings.catch_warnings(action="ignore"):
        network.load_weights(str(path))
    if not backbone.keras_only:
        assert isinstance(backbone.weights, Application)
        return {ours: network.get_layer(theirs).get_weights() for ours, theirs in backbone.weights.layers().items()}
    weights = applications.weights_of(network, backbone.name)
    if headed:
        weights = {name: weights[name] for name in applications.weights_of(_network(backbone, False), backbone.name)}
    return weights


def _network(backbone: Backbone, headed: bool) -> Any:
    import keras

    if backbone.keras_only:
        return applications.application(keras, backbone.name, backbone.input_size_px, include_top=headed)
    assert isinstance(backbone.weights, Application)
    constructor = getattr(keras.applications, backbone.weights.constructor)
    shape = (SIZE_PX, SIZE_PX, 3)
    return constructor(weights=None, include_top=headed, input_shape=shape, **backbone.weights.arguments)


def _check_hdf5(path: Path) -> None:
    """Refuse what is no HDF5 file, or a part of one, before Keras is imported for it."""
    try:
        with h5py.File(path, "r") as file:
            groups = len(file)
    except OSError as error:
        raise _damaged(path, _one_line(error)) from None
    if not groups:
        raise _damaged(path, "an empty one")


def _one_line(error: Exception) -> str:
    """The first sentences of Keras's message; it goes on with lists of layers."""
    text = " ".join(str(error).split())
    return text if len(text) <= 240 else f"{text[:240]}…"


def _damaged(path: Path, received: str) -> WeightsError:
    return WeightsError(
        str(path), expected="a whole HDF5 file", received=received, action="Copy or download the file again."
    )


def _misfit(path: Path, backbone: Backbone, received: str) -> WeightsError:
    return WeightsError(
        str(path), expected=f"the weights of {backbone.name}", received=received,
        action="Give the file that belongs to this backbone, or move this one out of search.weights_dir.",
    )  # fmt: skip
