"""A candidate: the values that a trial was given, what they mean for network and training, and the file best.yaml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from automl_cnn.errors import ArtifactError
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.train.head import HeadSettings


@dataclass(frozen=True)
class Candidate:
    """The values that won, with what they are worth.

    Attributes:
        trial_id: of the winning trial.
        values: backbone, augmentation, hidden_units, dropout, weight_decay, label_smoothing, learning_rate and
            class_weight.
        input_size_px: of the features it was found on.
        objective: what was maximized.
        score: on validation, 0 to 1.
    """

    trial_id: int
    values: dict[str, Any]
    input_size_px: int
    objective: str
    score: float

    def save(self, path: Path) -> None:
        """Write as YAML."""
        facts = {"trial_id": self.trial_id, "objective": self.objective, "score": self.score}
        with path.open("w", encoding="utf-8") as file:
            YAML().dump({**facts, "input_size_px": self.input_size_px, "values": self.values}, file)

    @classmethod
    def load(cls, path: Path) -> Candidate:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is missing or damaged.
        """
        try:
            raw = YAML(typ="safe").load(path)
            values = dict(raw["values"])
            return cls(raw["trial_id"], values, raw["input_size_px"], raw["objective"], raw["score"])
        except (OSError, YAMLError, KeyError, TypeError) as error:
            raise ArtifactError(
                str(path), expected="the best candidate", received=f"{type(error).__name__}: {error}",
                action="Run `dvc repro search`.",
            ) from None  # fmt: skip


def spec_of(values: Mapping[str, Any], classes: int, input_size_px: int) -> ClassifierSpec:
    """The network that a trial's values describe."""
    return ClassifierSpec(values["backbone"], input_size_px, classes, values["hidden_units"], values["dropout"])


def head_settings_of(values: Mapping[str, Any], seed: int) -> HeadSettings:
    """How a trial's values train a head; the values are mixed into the seed, so that trials differ."""
    text = json.dumps(dict(values), sort_keys=True)
    mixed = int.from_bytes(hashlib.sha256(f"{seed}|{text}".encode()).digest()[:4], "big") % 2**31
    return HeadSettings(
        learning_rate=values["learning_rate"],
        weight_decay=values["weight_decay"],
        label_smoothing=values["label_smoothing"],
        balanced=values["class_weight"] == "balanced",
        seed=mixed,
    )
