"""What the search chooses between: the values of one trial and the space they come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

HIDDEN_UNITS = (0, 64, 128, 256)
DROPOUT = (0.0, 0.2, 0.4)
LABEL_SMOOTHING = (0.0, 0.05, 0.1)
WEIGHT_DECAY = (1e-4, 1e-1)
LEARNING_RATE = (1e-3, 2e-2)


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter: a choice between values, or a float on a logarithmic scale between two bounds."""

    name: str
    default: Any
    choices: tuple[Any, ...] = ()
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Space:
    """All dimensions of a search, in a fixed order."""

    dimensions: tuple[Dimension, ...] = field(default_factory=tuple)

    def defaults(self) -> dict[str, Any]:
        """The values of the first trial: a plain, sound head."""
        return {dimension.name: dimension.default for dimension in self.dimensions}

    def describe(self) -> list[dict[str, Any]]:
        """Plain values, for the digest that tells one study from another."""
        return [asdict(dimension) for dimension in self.dimensions]


def head_space(backbones: list[str], augmentations: list[str]) -> Space:
    """The space of heads on frozen features.

    Args:
        backbones: names whose features are at hand; the first is the default.
        augmentations: policies whose views are at hand; the first is the default.
    """
    return Space(
        (
            Dimension("backbone", backbones[0], tuple(backbones)),
            Dimension("augmentation", augmentations[0], tuple(augmentations)),
            Dimension("hidden_units", 128, HIDDEN_UNITS),
            Dimension("dropout", 0.2, DROPOUT),
            Dimension("weight_decay", 1e-3, bounds=WEIGHT_DECAY),
            Dimension("label_smoothing", 0.0, LABEL_SMOOTHING),
            Dimension("learning_rate", 4e-3, bounds=LEARNING_RATE),
            Dimension("class_weight", "none", ("none", "balanced")),
        )
    )
