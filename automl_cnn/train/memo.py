"""A fine-tuning that was finished once is not done again: the search's winner is the train stage's start."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from automl_cnn.artifacts import replacing
from automl_cnn.models.weights import Weights
from automl_cnn.train.finetune import FineTuned


class Memo:
    """One file that holds a finished fine-tuning; written whole or not at all.

    Args:
        folder: where they are kept; may be deleted at will.
        identity: everything that the result depends on.
    """

    def __init__(self, folder: Path, identity: object) -> None:
        text = json.dumps(identity, sort_keys=True, default=str)
        self._path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"

    def save(self, tuned: FineTuned) -> None:
        """Keep a result."""
        arrays: dict[str, Any] = {"logits": tuned.logits}
        for layer, weights in tuned.weights.items():
            arrays |= {f"weight:{layer}:{index}": array for index, array in enumerate(weights)}
        facts = json.dumps([tuned.score, tuned.best_epoch, tuned.epochs, tuned.history])
        with replacing(self._path) as temporary, temporary.open("wb") as file:
            np.savez(file, facts=np.array(facts), **arrays)

    def load(self) -> FineTuned | None:
        """The result; None where there is none that can be read."""
        try:
            with np.load(self._path, allow_pickle=False) as kept:
                weights: Weights = {}
                for name in kept.files:  # savez keeps the order of writing
                    if name.startswith("weight:"):
                        weights.setdefault(name.split(":")[1], []).append(kept[name])
                score, best_epoch, epochs, history = json.loads(str(kept["facts"]))
                return FineTuned(weights, kept["logits"], score, best_epoch, epochs, history)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
            return None
