"""Images as the monitor sees them, drawn from known distributions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
from log_rows import START

from automl_cnn.monitor.record import LogRecord, from_lines, to_line
from automl_cnn.monitor.sample import UNKNOWN, Sample
from automl_cnn.reference import ood
from automl_cnn.reference.record import Reference
from automl_cnn.reference.sketch import Sketcher

CLASSES = ("cat", "dog", "owl")
MODEL = "a" * 64
SHARED = 1.645  # the score above which an image is strange: 5 % of those drawn here are


def sample(n: int, seed: int, *, group_size: int = 1) -> Sample:
    """n images of three classes that are all alike but for chance; those of one group are more alike."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) // group_size

    def drawn(width: int) -> np.ndarray:
        common, own = rng.normal(size=(n, width))[groups], rng.normal(size=(n, width))
        return (np.sqrt(0.9) * common + np.sqrt(0.1) * own) if group_size > 1 else own

    evidence = drawn(3)
    probabilities = np.exp(2 * evidence) / np.exp(2 * evidence).sum(axis=1, keepdims=True)
    sketches = drawn(8)
    truth = (probabilities.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return Sample(
        statistics=drawn(7),
        sketches=sketches.astype(np.float32),
        probabilities=probabilities.astype(np.float32),
        ood_scores=drawn(1)[:, 0],
        abstained=probabilities.max(axis=1) < 0.6,
        answers=truth,
        groups=groups,
    )


def reference_of(before: Sample) -> Reference:
    """A model's reference that is made of these images."""
    bank = sample(100, 99).sketches
    return Reference(
        CLASSES, MODEL, Sketcher(np.zeros(8, np.float32), np.eye(8, dtype=np.float32)), bank, before.sketches,
        before.probabilities, before.answers, before.groups, before.statistics, {0.9: dict.fromkeys(CLASSES, 0.6)}, 0.9,
        ood.threshold(ood.scores(before.sketches, bank)),
    )  # fmt: skip


def log_of(live: Sample, *, bare: int = 0) -> pa.Table:
    """These images as `read_log` gives them, then `bare` rows of the same model without its reference."""
    scores = ood.scores(live.sketches, sample(100, 99).sketches)
    records = [
        LogRecord(
            f"image-{i}", CLASSES[live.predicted[i]], live.confidence[i], live.probabilities[i].tolist(), MODEL,
            bool(live.abstained[i]), scores[i], live.statistics[i].tolist(), live.sketches[i],
            START + timedelta(minutes=i),
        )
        for i in range(len(live))
    ]  # fmt: skip
    nothing = {"abstain": None, "ood_score": None, "statistics": None, "sketch": None}
    records += [replace(records[0], id=f"bare-{i}", **nothing) for i in range(bare)]
    known = [None if answer == UNKNOWN else CLASSES[answer] for answer in live.answers] + [None] * bare
    return from_lines(b"".join(map(to_line, records))).append_column("true_label", pa.array(known, pa.string()))
