"""What the rivals of the search benchmark write down while they train; runs in an environment without this project."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


def recorder(keras: Any, events: Path) -> Any:
    """A callback that writes an epoch's validation accuracy; it is copied for every trial."""
    counted = {"trials": 0}

    class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            counted["trials"] += 1

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            event = {
                "time": time.time(), "accuracy": float(logs["val_accuracy"]), "trial": counted["trials"],
                "epoch": epoch + 1,
            }  # fmt: skip
            with events.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")

    return Recorder()
