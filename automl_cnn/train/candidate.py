"""A candidate: the values that a trial was given, what they mean for network and training, and the file best.yaml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from automl_cnn.config import Params
from automl_cnn.errors import ArtifactError
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.train.finetune import FineTuning
from automl_cnn.train.head import HeadSettings

SGD_RATE = 10.0  # SGD with momentum takes about ten times the rate of AdamW


@dataclass(frozen=True)
class Candidate:
    """The values that won, with what they are worth: all that the later stages need to know of the search.

    Attributes:
        trial_id: of the winning trial.
        objective: what was maximized.
        score: on validation, 0 to 1.
        values: of the arm, the head and, where the network was fine-tuned, of that.
        images: training images that the trial saw; all of them unless the budget was too short.
        views: augmented views of each on which the head was fitted.
        quantize_steps: of quantization-aware training, as many as the budget leaves time for.
    """

    trial_id: int
    objective: str
    score: float
    values: dict[str, Any]
    images: int
    views: int
    quantize_steps: int

    @property
    def input_size_px(self) -> int:
        """Height and width of the network's input."""
        return int(self.values["input_size_px"])

    def save(self, path: Path) -> None:
        """Write as YAML."""
        with path.open("w", encoding="utf-8") as file:
            YAML().dump(asdict(self), file)

    @classmethod
    def load(cls, path: Path) -> Candidate:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is missing, damaged or of another release.
        """
        try:
            raw = YAML(typ="safe").load(path)
            return cls(**{**raw, "values": dict(raw["values"])})
        except (OSError, YAMLError, KeyError, TypeError) as error:
            raise ArtifactError(
                str(path), expected="the best candidate", received=f"{type(error).__name__}: {error}",
                action="Run `dvc repro search`.",
            ) from None  # fmt: skip


def spec_of(values: Mapping[str, Any], classes: int) -> ClassifierSpec:
    """The network that a trial's values describe; merged hidden heads stand side by side in one layer."""
    members = values.get("members", [values])
    units = sum(member["hidden_units"] for member in members)
    return ClassifierSpec(
        values["backbone"], values["input_size_px"], classes, units, values["dropout"], values["pooling"]
    )


def head_settings_of(values: Mapping[str, Any], seed: int) -> HeadSettings:
    """How a trial's values train a head; the values are mixed into the seed, so that trials differ."""
    head = {name: value for name, value in values.items() if name not in _NOT_OF_THE_HEAD}
    text = json.dumps(head, sort_keys=True)
    mixed = int.from_bytes(hashlib.sha256(f"{seed}|{text}".encode()).digest()[:4], "big") % 2**31
    return HeadSettings(
        learning_rate=values["learning_rate"] * (SGD_RATE if values["optimizer"] == "sgd" else 1.0),
        weight_decay=values["weight_decay"],
        label_smoothing=values["label_smoothing"],
        balanced=values["class_weight"] == "balanced",
        epochs=values.get("head_epochs", HeadSettings.epochs),
        seed=mixed,
        loss=values["loss"],
        optimizer=values["optimizer"],
        mixup=values["mixup"],
    )


def tuning_of(values: Mapping[str, Any], params: Params) -> FineTuning:
    """How a trial's values fine-tune the network; what the search does not vary comes from the section train."""
    train = params.train
    return FineTuning(
        epochs=values["epochs"],
        unfreeze_from_block=values["unfreeze_from_block"],
        learning_rate=values["fine_tuning_rate"] * (SGD_RATE if train.optimizer == "sgd" else 1.0),
        weight_decay=values["weight_decay"],
        label_smoothing=values["tuning_label_smoothing"],
        balanced=values["tuning_class_weight"] == "balanced",
        patience=train.patience,
        seed=train.seed,
        layer_decay=train.layer_decay,
        optimizer=train.optimizer,
        ema=train.ema,
        accumulate=max(1, train.batch_size // values["batch_size"]),
        distillation_weight=values.get("distillation", 0.0),
        from_scratch=not backbone_of(values["backbone"]).pretrained,
    )


_NOT_OF_THE_HEAD = (
    "unfreeze_from_block", "fine_tuning_rate", "epochs", "batch_size", "tuning_augmentation", "members", "teacher",
    "teacher_views", "distillation", "tuning_label_smoothing", "tuning_class_weight",
)  # fmt: skip
