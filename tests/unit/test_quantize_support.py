"""Whoever names a network that cannot be trained in int8 is told which of its layers are in the way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from automl_cnn.quantize.support import unsupported_layers


def layer(kind: str, name: str) -> Any:
    return type(kind, (SimpleNamespace,), {})(name=name)


def network(*layers: Any) -> Any:
    return SimpleNamespace(name="network", layers=list(layers))


def test_a_network_of_what_is_simulated_has_nothing_in_the_way() -> None:
    assert not unsupported_layers(network(layer("InputLayer", "image"), layer("Conv2D", "stem"), layer("ReLU", "relu")))


def test_kinds_are_counted_and_the_first_of_each_is_named_also_inside_a_nested_network() -> None:
    inner = network(
        layer("LayerNormalization", "norm_a"), layer("Conv2D", "conv"), layer("LayerNormalization", "norm_b")
    )
    told = unsupported_layers(network(layer("Permute", "turn"), inner))
    assert told == ["LayerNormalization (2, the first is norm_a)", "Permute (1, the first is turn)"]


def test_a_long_list_is_cut_and_says_how_much() -> None:
    told = unsupported_layers(network(*(layer(f"Kind{number}", str(number)) for number in range(8))))
    assert len(told) == 6
    assert told[-1] == "3 kinds more"
