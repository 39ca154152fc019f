"""What the report says of fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from automl_cnn.artifacts import Files, read_json
from automl_cnn.report.charts.training import epochs_chart
from automl_cnn.report.search_facts import OBJECTIVES


@dataclass(frozen=True)
class TrainingFacts:
    """Fine-tuning: validation scores of the head alone and of the kept epoch, SVG charts of score and loss."""

    epochs: int
    best_epoch: int
    head_score: float
    score: float
    temperature: float
    charts: tuple[tuple[str, str], ...]


def read_training(files: Files) -> TrainingFacts:
    """Sum up fine-tuning.

    Raises:
        ArtifactError: result.json is missing or damaged.
    """
    result = read_json(files.model / "result.json")
    history = pd.read_csv(files.model / "history.csv")
    objective = OBJECTIVES.get(result["objective"], result["objective"])
    best_epoch = int(result["best_epoch"])
    charts = []
    for column, name in (("validation_score", f"validation {objective}"), ("loss", "training loss")):
        known = history.dropna(subset=[column])  # epoch 0 is the head before fine-tuning and has no loss
        if len(known):
            marked = best_epoch if best_epoch in known["epoch"].to_numpy() else None
            charts.append((column, epochs_chart(known["epoch"].tolist(), known[column].tolist(), name, marked)))
    return TrainingFacts(
        epochs=int(history["epoch"].max()),
        best_epoch=best_epoch,
        head_score=float(result["head_score"]),
        score=float(result["validation_score"]),
        temperature=float(result["temperature"]),
        charts=tuple(charts),
    )
