"""What quantization-aware training can simulate, told by the kinds of layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SIMULATED = frozenset({
    "InputLayer", "Conv2D", "DepthwiseConv2D", "Dense", "ReLU", "Activation", "Softmax", "Add", "Multiply",
    "WithConstant", "MaxPooling2D", "GlobalAveragePooling2D", "Dropout",
})  # fmt: skip
MOST_KINDS = 5  # that are named


def unsupported_layers(network: Any) -> list[str]:
    """Kinds of layers that cannot be simulated, the most frequent first.

    Args:
        network: a Keras model, nested or not.
    Returns:
        Such as `LayerNormalization (58, the first is stem_norm)`; at most MOST_KINDS of them, then how many are left.
    """
    found: dict[str, list[str]] = {}
    for layer in _leaves(network):
        kind = type(layer).__name__
        if kind not in SIMULATED:
            found.setdefault(kind, []).append(layer.name)
    kinds = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    told = [f"{kind} ({len(names)}, the first is {names[0]})" for kind, names in kinds[:MOST_KINDS]]
    return told + ([f"{len(kinds) - MOST_KINDS} kinds more"] if len(kinds) > MOST_KINDS else [])


def _leaves(network: Any) -> Iterator[Any]:
    for layer in network.layers:
        if getattr(layer, "layers", None):
            yield from _leaves(layer)
        else:
            yield layer
