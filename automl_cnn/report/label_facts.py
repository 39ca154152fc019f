"""What the report says of the labels as a whole: how many are wrong, how many to look at, which class is how sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CLASSES_SHOWN = 40


@dataclass(frozen=True)
class ClassHealth:
    """One class: its images, the estimated share of wrong labels with its interval, and what it is mistaken for."""

    label: str
    images: int
    rate: float
    interval: tuple[float, float]
    confused_with: str
    confidence: float


@dataclass(frozen=True)
class LabelFacts:
    """The state of the labels.

    Attributes:
        rate: estimated share of wrong labels; `interval` around it.
        look_at: images from the top of the ranking that are worth a look.
        precision: share of them that should be wrong; None where none is worth it.
        recall: share of all wrong labels that should be among them; None where none is wrong.
        classes: the least sound first, 40 at most.
    """

    rate: float
    interval: tuple[float, float]
    look_at: int
    precision: float | None
    recall: float | None
    classes: tuple[ClassHealth, ...]


def read_label_facts(summary: dict[str, Any]) -> LabelFacts | None:
    """Take the state of the labels out of audit/summary.json; None where no label could be judged."""
    report = summary.get("labels") or {}
    noise, cutoff = report.get("noise"), report.get("cutoff")
    if not noise or not cutoff:
        return None
    judged = [one for one in report.get("classes", []) if one["noise"]]
    judged.sort(key=lambda one: (-one["noise"]["rate"], one["label"]))
    return LabelFacts(
        rate=noise["rate"],
        interval=(noise["low"], noise["high"]),
        look_at=cutoff["images"],
        precision=cutoff["expected_precision"],
        recall=cutoff["expected_recall"],
        classes=tuple(
            ClassHealth(
                one["label"], one["images"], one["noise"]["rate"], (one["noise"]["low"], one["noise"]["high"]),
                one["confused_with"], one["confidence"],
            )
            for one in judged[:CLASSES_SHOWN]
        ),
    )  # fmt: skip
