"""What the report says of how far to trust an answer: curves, coverage, slices, and whether more labels would help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from automl_cnn.artifacts import Files, read_json, read_table
from automl_cnn.evaluate.curves import CURVES
from automl_cnn.report.charts.curves import ClassCurve, curves_chart
from automl_cnn.report.charts.learning import LearningLine, learning_chart
from automl_cnn.report.charts.plot import COLOURS

SLICES, CLASSES = 40, 40
Known = TypeVar("Known")


@dataclass(frozen=True)
class CurveFacts:
    """ROC and precision-recall charts as SVG, of `shown` of `classes` classes: the weakest."""

    roc: str
    precision_recall: str
    shown: int
    classes: int


@dataclass(frozen=True)
class CoverageClass:
    """One class at one wanted precision; threshold None: it is never answered. Shares are None of no image."""

    label: str
    threshold: float | None
    predicted: int
    coverage: float | None
    precision: float | None
    precision_ci95: tuple[float, float] | None


@dataclass(frozen=True)
class CoverageLevel:
    """One wanted precision: how many test images are answered, how many of these rightly; CLASSES classes at most."""

    wanted: float
    answered: int
    images: int
    coverage: float
    coverage_ci95: tuple[float, float] | None
    precision: float | None
    precision_ci95: tuple[float, float] | None
    classes: tuple[CoverageClass, ...]


@dataclass(frozen=True)
class SliceLine:
    """One part of the test split against the rest of it; `expected` is what its classes reach in the whole split."""

    name: str
    value: str
    images: int
    accuracy: float
    interval: tuple[float, float]
    expected: float
    difference: float
    difference_interval: tuple[float, float]
    p_adjusted: float
    weak: bool

    @property
    def below_expected(self) -> bool:
        """Whether its classes alone do not explain how weak it is: not even the interval reaches what they would."""
        return self.interval[1] < self.expected


@dataclass(frozen=True)
class SliceFacts:
    """The weakest SLICES of `looks` parts that were looked at."""

    looks: int
    weak: tuple[SliceLine, ...]
    others: tuple[SliceLine, ...]


@dataclass(frozen=True)
class LearningClass:
    """One class: training images now, the score of a linear head now and with twice as many, and what a gain takes."""

    label: str
    images: int
    score: float
    ahead: float
    gain: float
    gain_ci95: tuple[float, float]
    wanted: float
    images_wanted: int | None
    helps: bool


@dataclass(frozen=True)
class LearningFacts:
    """Would more labels help.

    Attributes:
        charts: by name: overall, classes.
        classes: those with the largest gain, CLASSES at most.
        left_out: a phrase a class that has too few images for a curve.
    """

    sentence: str
    overall_helps: bool
    charts: dict[str, str]
    classes: tuple[LearningClass, ...]
    left_out: tuple[str, ...]


def read_curves(files: Files, weakest: tuple[str, ...]) -> CurveFacts | None:
    """The curves of the weakest classes; None where an earlier release evaluated.

    Args:
        files: evaluation/curves.parquet is read.
        weakest: class names, the weakest first.
    """
    path = files.evaluation / "curves.parquet"
    if not path.exists():
        return None
    table = read_table(path, CURVES)
    areas = {line["label"]: line for line in read_json(files.evaluation / "metrics.json")["test"]["per_class"]}
    drawn = set(table["label"])
    shown = [label for label in weakest if label in drawn][:COLOURS]
    if not shown:
        return None
    charts = []
    for kind, area in (("roc", "roc_auc"), ("precision_recall", "average_precision")):
        rows = table[table["curve"] == kind]
        curves = [
            ClassCurve(
                label,
                tuple(
                    rows.loc[rows["label"] == label, ["x", "y", "threshold"]].itertuples(index=False, name=None)
                ),
                areas[label][area],
            )
            for label in shown
        ]  # fmt: skip
        charts.append(curves_chart(curves, kind))
    return CurveFacts(charts[0], charts[1], len(shown), len(drawn))


def read_coverage(files: Files) -> tuple[CoverageLevel, ...]:
    """Coverage at every wanted precision; empty where an earlier release evaluated."""
    levels = _read_if_there(files.evaluation / "coverage.json", list) or []
    return tuple(
        CoverageLevel(
            wanted=level["wanted"],
            answered=level["answered"],
            images=level["images"],
            coverage=level["coverage"],
            coverage_ci95=_interval(level["coverage_ci95"]),
            precision=level["precision"],
            precision_ci95=_interval(level["precision_ci95"]),
            classes=tuple(
                CoverageClass(
                    one["label"], one["threshold"], one["predicted"], one["coverage"], one["precision"],
                    _interval(one["precision_ci95"]),
                )
                for one in level["classes"][:CLASSES]
            ),
        )
        for level in levels
    )  # fmt: skip


def read_slices(files: Files) -> SliceFacts | None:
    """The weakest slices; None where an earlier release evaluated."""
    found = _read_if_there(files.evaluation / "slices.json", dict)
    if found is None:
        return None
    lines = [
        SliceLine(
            name=one["name"],
            value=one["value"],
            images=one["images"],
            accuracy=one["accuracy"],
            interval=(one["accuracy_ci95"][0], one["accuracy_ci95"][1]),
            expected=one["expected"],
            difference=one["difference"],
            difference_interval=(one["difference_ci95"][0], one["difference_ci95"][1]),
            p_adjusted=one["p_adjusted"],
            weak=one["weak"],
        )
        for one in found["slices"][:SLICES]
    ]
    return SliceFacts(
        looks=found["looks"],
        weak=tuple(line for line in lines if line.weak),
        others=tuple(line for line in lines if not line.weak),
    )


def read_learning(files: Files) -> LearningFacts | None:
    """Whether more labels would help; None where an earlier release evaluated."""
    found = _read_if_there(files.evaluation / "learning_curve.json", dict)
    if found is None:
        return None
    overall = found["overall"]
    classes = sorted(found["classes"], key=lambda one: (-one["ahead"]["gain"], one["label"]))
    charts = {}
    if overall is not None:
        charts["learning"] = learning_chart([_learning_line("all classes", overall)], "accuracy of a linear head")
    if len(classes) > 1:
        lines = [_learning_line(one["label"], one) for one in classes[:COLOURS]]
        charts["learning_classes"] = learning_chart(lines, "recall of a linear head")
    return LearningFacts(
        sentence=found["sentence"],
        overall_helps=bool(overall and overall["helps"]),
        charts=charts,
        classes=tuple(
            LearningClass(
                one["label"], one["points"][-1]["images"], one["points"][-1]["score"], one["ahead"]["score"],
                one["ahead"]["gain"], (one["ahead"]["gain_ci95"][0], one["ahead"]["gain_ci95"][1]),
                one["gain_wanted"], one["images_wanted"], one["helps"],
            )
            for one in classes[:CLASSES]
        ),
        left_out=tuple(
            f"{one['label']} ({one['training_images']:,} to learn from, {one['validation_images']:,} to judge by)"
            for one in found.get("left_out", ())
        ),
    )  # fmt: skip


def _learning_line(name: str, curve: Mapping[str, Any]) -> LearningLine:
    points = [*curve["points"], curve["ahead"]]
    return LearningLine(name, tuple((point["images"], point["score"], *point["score_ci95"]) for point in points))


def _read_if_there(path: Path, kind: Callable[[Any], Known]) -> Known | None:
    return kind(read_json(path)) if path.exists() else None


def _interval(given: Any) -> tuple[float, float] | None:
    return (float(given[0]), float(given[1])) if given else None
