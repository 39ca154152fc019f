"""Finished runs as `compare` and `promote` read them, made in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from automl_cnn.config import EvaluateParams
from automl_cnn.tracking.finished import table_digest
from automl_cnn.tracking.snapshot import Snapshot

FEW = EvaluateParams(bootstrap=200)
SIDES = ["train", "test"]


def run_of(n: int = 80, right: float = 0.5, classes: tuple[str, ...] = ("cat", "dog"), **changes: Any) -> Snapshot:
    """A run on `n` pictures, every other one in the test split, of which the first `right` are told rightly."""
    images = pd.DataFrame(
        {
            "image_id": [f"id{i:03}" for i in range(n)],
            "path": [f"{classes[i % 4 // 2]}/{i:03}.png" for i in range(n)],
            "label": [classes[i % 4 // 2] for i in range(n)],
            "group": [f"g{i}" for i in range(n)],
            "split": [SIDES[i % 2] for i in range(n)],
            "sha256": [f"{i:064x}" for i in range(n)],
            "pixel_sha": [f"pixels{i}" for i in range(n)],
        }
    )
    return snapshot(images, right, classes, **changes)


def snapshot(images: pd.DataFrame, right: float, classes: tuple[str, ...], **changes: Any) -> Snapshot:
    test = images[images["split"] == "test"].reset_index(drop=True)
    hit = np.arange(len(test)) < right * len(test)
    others = test["label"].map({name: classes[(i + 1) % len(classes)] for i, name in enumerate(classes)})
    predicted = test["label"].where(hit, others)
    predictions = test[["image_id", "path", "label", "group", "pixel_sha"]].assign(predicted=predicted)
    for name in classes:
        predictions[f"p_{name}"] = np.where(predicted == name, 0.9, 0.1 / (len(classes) - 1)).astype(np.float32)
    scores = {"accuracy": float(hit.mean()), "balanced_accuracy": 0.5, "macro_f1": 0.5, "log_loss": 1.0}
    made = Snapshot(
        name="run", place="a run", params={"search.preset": "quick"},
        metrics={"test": scores, "model": {"size_bytes": 1000, "latency_ms_median": 2.0}},
        images=images, predictions=predictions,
        decisions=pd.DataFrame(columns=["sha256", "issue", "decision", "new_label"]), audit={},
        data_digest=table_digest(images[["image_id", "label", "pixel_sha"]]),
        split_digest=table_digest(images[["image_id", "group", "split"]]),
    )  # fmt: skip
    return replace(made, **changes)
