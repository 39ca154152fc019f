"""Which tensors of a network must share one scale a channel, and which layers such a scale goes through.

A channel may be multiplied by any positive factor if every layer that makes it multiplies by it and every layer that
takes it divides by it. ReLU, sums, means over the image and the excitation of a channel let a factor through, ReLU6
does so below its ceiling; swish, hard-swish and the softmax do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from automl_cnn.quantize.calibrate import NORMALIZE

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D")
WEIGHTED = (*CONVOLUTIONS, "Dense")
LET_THROUGH = ("ReLU", "Add", "GlobalAveragePooling2D", "MaxPooling2D", "Dropout")


@dataclass(frozen=True)
class Group:
    """Tensors that share one scale a channel, by the names of the layers whose outputs they are.

    Attributes:
        makers: convolutions that make them: their kernels and biases are multiplied.
        takers: convolutions and dense layers that take them: their kernels are divided.
        rounded: those that an int8 file rounds, which is all but convolutions and sums that a ReLU follows at once.
    """

    makers: tuple[str, ...]
    takers: tuple[str, ...]
    rounded: tuple[str, ...]


def find_groups(network: Any) -> list[Group]:
    """Every group whose channels may be scaled, bottom first.

    Args:
        network: a flat tf_keras model.
    """
    layers = {layer.name: layer for layer in network.layers}
    sources = {name: sources_of(layer) for name, layer in layers.items()}
    groups = _Union(layers)
    for name, layer in layers.items():
        if type(layer).__name__ in LET_THROUGH:
            groups.join(name, *sources[name])
    fixed = {groups.of(name) for name in _fixed(layers, sources)}
    fixed |= {groups.of(name) for name in network.output_names}
    excitations = [name for name, layer in layers.items() if type(layer).__name__ == "Multiply"]
    before = None
    while before != (before := (frozenset(map(groups.of, fixed)), tuple(map(groups.of, layers)))):
        fixed = {groups.of(name) for name in fixed}
        for name in excitations:
            free = [source for source in sources[name] if groups.of(source) not in fixed]
            if len(free) == 1:
                groups.join(name, *free)
            else:  # of two free factors, or of none, the product cannot follow
                fixed |= {groups.of(each) for each in (name, *free)}
    fixed = {groups.of(name) for name in fixed}
    return [_group(names, layers, sources) for root, names in groups.all() if root not in fixed]


def _fixed(layers: dict[str, Any], sources: dict[str, list[str]]) -> Iterable[str]:
    """Outputs that cannot be scaled, whatever the rest of the network is."""
    for name, layer in layers.items():
        kind = type(layer).__name__
        if kind in CONVOLUTIONS and name != NORMALIZE and _linear(layer):
            continue
        if kind not in (*LET_THROUGH, "Multiply"):
            yield name
            if kind not in WEIGHTED:
                yield from sources[name]


def _group(names: list[str], layers: dict[str, Any], sources: dict[str, list[str]]) -> Group:
    inside = set(names)
    takers = [
        name
        for name, layer in layers.items()
        if type(layer).__name__ in WEIGHTED and inside.intersection(sources[name])
    ]
    readers: dict[str, list[str]] = {name: [] for name in names}
    for name, taken in sources.items():
        for source in inside.intersection(taken):
            readers[source].append(type(layers[name]).__name__)
    makers = tuple(name for name in names if type(layers[name]).__name__ in CONVOLUTIONS)
    return Group(makers, tuple(takers), tuple(name for name in names if readers[name] != ["ReLU"]))


def sources_of(layer: Any) -> list[str]:
    """Names of the layers whose outputs a layer takes."""
    return [tensor.node.layer.name for node in layer.inbound_nodes for tensor in _flat(node.keras_inputs)]


def _flat(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


def _linear(layer: Any) -> bool:
    return getattr(layer.activation, "__name__", "") == "linear"


class _Union:
    """Names that were joined, directly or by way of others."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parents = {name: name for name in names}

    def of(self, name: str) -> str:
        while self._parents[name] != name:
            name = self._parents[name]
        return name

    def join(self, first: str, *others: str) -> None:
        for other in others:
            self._parents[self.of(other)] = self.of(first)

    def all(self) -> list[tuple[str, list[str]]]:
        """(representative, names) of each, in the order of their first names."""
        found: dict[str, list[str]] = {}
        for name in self._parents:
            found.setdefault(self.of(name), []).append(name)
        return list(found.items())
