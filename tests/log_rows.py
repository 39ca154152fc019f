"""Rows for a prediction log, as a server would append them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from automl_cnn.monitor.record import LogRecord
from automl_cnn.reference.statistics import STATISTICS

START = datetime(2026, 11, 1, tzinfo=UTC)


def row(number: int, **changed: Any) -> LogRecord:
    """The record of one image, a minute after the one before it."""
    rng = np.random.default_rng(number)
    values: dict[str, Any] = {
        "id": f"image-{number}", "label": "cat", "probability": 0.75, "probabilities": [0.75, 0.25],
        "model_sha256": "a" * 64, "abstain": False, "ood_score": 0.5,
        "statistics": rng.normal(size=len(STATISTICS)).tolist(), "sketch": rng.normal(size=64),
        "time": START + timedelta(minutes=number),
    }  # fmt: skip
    return LogRecord(**values | changed)
