"""A training that was killed goes on after its last finished epoch."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing
from automl_cnn.models.weights import Weights


@dataclass(frozen=True)
class TrainingState:
    """What is known after an epoch.

    Attributes:
        epoch: epochs that are finished.
        history: one entry an epoch, the untrained network first.
        best_epoch: the epoch that is best on validation.
        best_score: its score.
        best_weights: its weights by layer.
        best_logits: float32 [n_validation, classes].
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = float("-inf")
    best_weights: Weights = field(default_factory=dict)
    best_logits: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))


class Checkpoint:
    """One file that holds all variables and the state after the last finished epoch; written whole or not at all.

    Args:
        folder: where checkpoints are kept.
        identity: everything the training depends on; another identity never continues this one.
    """

    def __init__(self, folder: Path, identity: object) -> None:
        text = json.dumps(identity, sort_keys=True, default=str)
        self._path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"

    def save(self, variables: list[Any], state: TrainingState) -> None:
        """Keep the variables of network, optimizer and average, and the state."""
        arrays = {f"variable:{index}": np.asarray(value) for index, value in enumerate(variables)}
        for layer, weights in state.best_weights.items():
            arrays |= {f"best:{layer}:{index}": array for index, array in enumerate(weights)}
        arrays["logits"] = state.best_logits
        facts = [state.epoch, state.history, state.best_epoch, state.best_score]
        with replacing(self._path) as temporary, temporary.open("wb") as file:
            np.savez(file, facts=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]

    def load(self, variables: list[Any]) -> TrainingState | None:
        """Set the variables to what was kept; None, and nothing changed, where nothing usable was kept."""
        try:
            with np.load(self._path, allow_pickle=False) as kept:
                stored = {name: kept[name] for name in kept.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            return None
        kept_shapes = [stored[name].shape for name in stored if name.startswith("variable:")]  # in the order of writing
        if kept_shapes != [tuple(variable.shape) for variable in variables]:
            return None
        for index, variable in enumerate(variables):
            variable.assign(stored[f"variable:{index}"])
        best: Weights = {}
        for name in (name for name in stored if name.startswith("best:")):  # savez keeps the order of writing
            best.setdefault(name.split(":")[1], []).append(stored[name])
        epoch, history, best_epoch, best_score = json.loads(str(stored["facts"]))
        return TrainingState(epoch, history, best_epoch, best_score, best, stored["logits"])

    def remove(self) -> None:
        """Forget the checkpoint: the training is finished."""
        self._path.unlink(missing_ok=True)
