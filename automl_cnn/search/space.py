"""What the search chooses between: arms, which cost a pass over all images each, and heads, which cost a second.

A trial's values are one flat dictionary. Those of a head are always there; those of fine-tuning (`tuning_values`) only
where the network was fine-tuned; `members` only where several heads on one backbone were merged; `teacher` only where
another trained network was listened to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from automl_cnn.models.spec import Pooling

HIDDEN_UNITS = (0, 64, 128, 256)
DROPOUT = (0.0, 0.2, 0.4)
LABEL_SMOOTHING = (0.0, 0.05, 0.1)
MIXUP = (0.0, 0.2)
LOSSES = ("cross_entropy", "focal")
OPTIMIZERS = ("adamw", "sgd")
CLASS_WEIGHTS = ("none", "balanced")
WEIGHT_DECAY = (1e-4, 1e-1)
TUNING_SMOOTHING = 0.1  # at least: from block 4 up a network learns a few thousand labels by heart (docs/training.md)
NESTED = ("members", "teacher")  # values that hold values of other trials
LEARNING_RATE = (5e-4, 1e-2)  # of AdamW; SGD takes train.candidate.SGD_RATE times as much


@dataclass(frozen=True)
class Arm:
    """What features are computed with. Judging one costs a pass over images; judging a head on it does not.

    Attributes:
        backbone: name in the registry.
        input_size_px: height and width of the square input.
        pooling: average or gem.
    """

    backbone: str
    input_size_px: int
    pooling: Pooling = "average"

    @property
    def name(self) -> str:
        """As an analyst reads it, and as the oracle's choices are called."""
        return f"{self.backbone} {self.input_size_px} px{'' if self.pooling == 'average' else f' {self.pooling}'}"

    def values(self) -> dict[str, Any]:
        """The arm's part of a trial's values."""
        return asdict(self)


def arm_of(values: Mapping[str, Any]) -> Arm:
    """The arm that a trial's values name."""
    return Arm(values["backbone"], values["input_size_px"], values["pooling"])


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter: a choice between values, or a float on a logarithmic scale between two bounds."""

    name: str
    default: Any
    choices: tuple[Any, ...] = ()
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Space:
    """What an oracle chooses from, in a fixed order.

    Attributes:
        dimensions: the arm by its name, the augmentation policy, and everything about a head.
        arms: those that the dimension `arm` names.
    """

    dimensions: tuple[Dimension, ...] = ()
    arms: tuple[Arm, ...] = ()

    def defaults(self) -> dict[str, Any]:
        """The point that is tried first: a plain, sound head."""
        return {dimension.name: dimension.default for dimension in self.dimensions}

    def values(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """A trial's values for a point: the arm's name is replaced by what it stands for."""
        arm = next(arm for arm in self.arms if arm.name == point["arm"])
        return {**arm.values(), **{name: value for name, value in point.items() if name != "arm"}}

    def point(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The point that gave a trial's values; None where it is not one of this space."""
        arm = arm_of(values)
        rest = {name: value for name, value in values.items() if name not in arm.values()}
        point = {"arm": arm.name, **rest}
        known = {dimension.name: dimension for dimension in self.dimensions}
        if arm not in self.arms or set(point) != set(known):
            return None
        inside = all(not known[name].choices or value in known[name].choices for name, value in point.items())
        return {name: point[name] for name in known} if inside else None


@dataclass(frozen=True)
class SearchSpace:
    """Everything that a search may choose.

    Attributes:
        arms: the cheapest first.
        policies: augmentation policies, the plainest first.
        depths: lowest blocks from which fine-tuning may start, 1 to 8, the one tried first in front.
        fine_tuning_rate: peak learning rate of fine-tuning.
        from_scratch: arms without pretrained weights: they have no features to fit a head on and are trained as a
            whole.
        tuning_class_weight: of every fine-tuning: none or balanced.
    """

    arms: tuple[Arm, ...]
    policies: tuple[str, ...] = ("none",)
    depths: tuple[int, ...] = (4,)
    fine_tuning_rate: float = 4e-4
    from_scratch: tuple[Arm, ...] = ()
    tuning_class_weight: str = "none"

    def describe(self) -> dict[str, Any]:
        """Plain values, for the digest that tells one study from another."""
        heads = [asdict(dimension) for dimension in head_space(self.arms, self.policies).dimensions]
        return {**asdict(self), "heads": heads}


def head_space(arms: Sequence[Arm], policies: Sequence[str]) -> Space:
    """The space of heads on frozen features.

    Args:
        arms: those that are still in the running; the first is the default.
        policies: augmentation policies whose views may be computed; the first is the default.
    """
    return Space(
        (
            Dimension("arm", arms[0].name, tuple(arm.name for arm in arms)),
            Dimension("augmentation", policies[0], tuple(policies)),
            Dimension("hidden_units", 128, HIDDEN_UNITS),
            Dimension("dropout", 0.2, DROPOUT),
            Dimension("weight_decay", 1e-3, bounds=WEIGHT_DECAY),
            Dimension("label_smoothing", 0.0, LABEL_SMOOTHING),
            Dimension("mixup", 0.0, MIXUP),
            Dimension("loss", "cross_entropy", LOSSES),
            Dimension("optimizer", "adamw", OPTIMIZERS),
            Dimension("learning_rate", 2e-3, bounds=LEARNING_RATE),
            Dimension("class_weight", "none", CLASS_WEIGHTS),
        ),
        tuple(arms),
    )


def plain_head(arm: Arm) -> dict[str, Any]:
    """Values of the head that arms are compared with: linear, on the images as they are; the fastest there is."""
    space = head_space([arm], ["none"])
    return {**space.values(space.defaults()), "hidden_units": 0, "dropout": 0.0}


def class_weight_for(objective: str) -> str:
    """How fine-tuning weighs classes: all alike where the objective counts them so, else as frequent as they are."""
    return "none" if objective == "accuracy" else "balanced"


def tuning_values(
    head: Mapping[str, Any], depth: int, rate: float, epochs: int, batch_size: int, class_weight: str
) -> dict[str, Any]:
    """Values of a fine-tuning that starts from a head."""
    tuned = {"unfreeze_from_block": depth, "fine_tuning_rate": rate, "epochs": epochs, "batch_size": batch_size}
    smoothing = max(head["label_smoothing"], TUNING_SMOOTHING)
    return {**head, **tuned, "tuning_label_smoothing": smoothing, "tuning_class_weight": class_weight}


def taught_values(student: Mapping[str, Any], teacher: Mapping[str, Any], views: int, share: float) -> dict[str, Any]:
    """Values of a fine-tuning that listens to a network that was fine-tuned before.

    Args:
        student: values of the fine-tuning as it would be without a teacher.
        teacher: values of the teacher's fine-tuning.
        views: on which the teacher's head was fitted.
        share: of the loss that comes from the teacher, above 0 to 1.
    """
    return {**student, "teacher": dict(teacher), "teacher_views": views, "distillation": share}
