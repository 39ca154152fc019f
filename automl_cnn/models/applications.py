"""Any other keras.applications network, by the name of its class, as a float candidate.

The networks are Keras' own; what this module adds is what the rest of the project relies on: one flat graph on raw RGB
pixels, names that are the same in every process, and the normalization and weight files of each. They exist in Keras 3
alone, so quantization-aware training refuses them.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import AutoMLError, ConfigError, QuantizeError
from automl_cnn.models.application_table import OWN_NAMES, TABLE, Network
from automl_cnn.models.backbone import Application, Backbone


def application_backbone(name: str) -> Backbone | None:
    """The backbone that a class name of keras.applications stands for, None where there is no such class.

    Classes that the project defines itself, such as MobileNetV2, are known under its own names: see OWN_NAMES.
    """
    network = TABLE.get(name)
    if network is None:
        return None
    return Backbone(
        name,
        family="keras.applications",
        input_size_px=network.input_size_px,
        width=network.width,
        normalization=network.normalization,
        build=partial(build, name=name),
        weights=Application(
            constructor=name,
            arguments=network.arguments,
            files=network.files,
            url=network.url,
            layers=dict,
        ),
        keras_only=True,
    )


def build(keras: Any, inputs: Any, name: str, *, folded: bool = False) -> Any:
    """Apply the network to normalized images.

    Args:
        keras: Keras 3.
        inputs: symbolic float32 [batch, height, width, 3] RGB, normalized as the table says.
        name: of the class in keras.applications.
        folded: must be False.
    Returns:
        Symbolic float32 [batch, h, w, width]. Layers that Keras numbers within a process are numbered within the
        network instead, and models inside the model are opened.
    Raises:
        QuantizeError: `folded` is asked for.
        ConfigError: the image is smaller than the network takes.
    """
    if folded:
        raise QuantizeError(
            name, expected="a network that the project defines itself", received="one of keras.applications",
            action="Ship it without: `automl-cnn backbones` says which networks can be trained in int8.",
        )  # fmt: skip
    original = application(keras, name, inputs.shape[1])
    names = _stable_names(original)
    (pixels,) = keras.utils.get_source_inputs(inputs)

    def copy(operation: Any) -> list[Any]:
        return [_copied(keras, part, names[part.name]) for part in _opened(operation)]

    def call(parts: list[Any], first: Any, *rest: Any, **options: Any) -> Any:
        x = inputs if first is pixels else first
        if rest:  # the two sides of a plus sign, which has become an Add layer
            return parts[0]([x, *rest])
        for part in parts:
            x = part(x)
        return x

    return keras.models.clone_model(original, input_tensors=pixels, clone_function=copy, call_function=call).output


def application(keras: Any, name: str, input_size_px: int, *, include_top: bool = False) -> Any:
    """The model of keras.applications itself, with random weights and without preprocessing layers of its own.

    Args:
        keras: Keras 3.
        name: of the class.
        input_size_px: height and width of the input.
        include_top: with the 1,000-class head, for weight files that have one.
    Raises:
        ConfigError: the image is smaller than the network takes.
    """
    network = TABLE[name]
    if input_size_px < network.smallest_px:
        problem = AutoMLError(
            "search.input_size_px", expected=f"{network.smallest_px} or more for {name}", received=str(input_size_px),
            action="Search larger images, or leave this network out of search.backbones.",
        )  # fmt: skip
        raise ConfigError([problem])
    constructor = getattr(keras.applications, name)
    shape = (input_size_px, input_size_px, 3)
    return constructor(include_top=include_top, weights=None, input_shape=shape, **network.arguments)


def weights_of(model: Any, name: str) -> dict[str, list[NDArray[np.float32]]]:
    """The weights of a model of keras.applications by the layer names that `build` gives.

    Args:
        model: from `application`, with weights loaded.
        name: of its class.
    Returns:
        Layer name → arrays. Networks that were trained on BGR have their first kernel turned round, so that they take
        RGB without a layer that would swap the channels.
    """
    names = _stable_names(model)
    weights = {
        names[layer.name]: layer.get_weights()
        for operation in model.operations
        for layer in _opened(operation)
        if getattr(layer, "weights", None)
    }
    if TABLE[name].trained_on_bgr:
        first = next(layer for layer, arrays in weights.items() if arrays[0].ndim == 4)
        kernel, *rest = weights[first]
        weights[first] = [np.ascontiguousarray(kernel[:, :, ::-1]), *rest]
    return weights


def _opened(operation: Any) -> list[Any]:
    """The layers of a Sequential, any other operation alone."""
    return list(operation.layers) if type(operation).__name__ == "Sequential" else [operation]


def _stable_names(model: Any) -> dict[str, str]:
    """Name in this process → name in every process, for all operations, those inside a Sequential included."""
    names, numbers = {}, Counter[str]()
    for operation in model.operations:
        for part in _opened(operation):
            kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(part).__name__).lower()
            if re.fullmatch(rf"{kind}(_\d+)?", part.name):  # Keras gave it, counting all models of the process
                numbers[kind] += 1
                names[part.name] = f"{kind}_{numbers[kind]}"
            else:
                names[part.name] = part.name
    return names


def _copied(keras: Any, operation: Any, name: str) -> Any:
    if not isinstance(operation, keras.layers.Layer):  # a plus sign in ConvNeXt
        assert type(operation).__name__ == "Add"
        return keras.layers.Add(name=name)
    return type(operation).from_config({**operation.get_config(), "name": name})


__all__ = ["OWN_NAMES", "TABLE", "Network", "application", "application_backbone", "build", "weights_of"]
