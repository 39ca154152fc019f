"""ROC and precision-recall curves, one class against the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from automl_cnn.report.charts.plot import Plot, axis
from automl_cnn.report.wording import percent

SPOTS = 24  # places of a curve that say their values
_AXES = {
    "roc": ("wrongly accepted (false positive rate)", "found (true positive rate)"),
    "precision_recall": ("found (recall)", "right of the accepted (precision)"),
}


@dataclass(frozen=True)
class ClassCurve:
    """One class: its name, the points (x, y, least probability that is accepted) and the area, None if unknown."""

    label: str
    points: tuple[tuple[float, float, float], ...]
    area: float | None


def curves_chart(curves: Sequence[ClassCurve], kind: str) -> str:
    """Draw at most eight classes in colours of their own, with a legend below.

    Args:
        curves: at least one.
        kind: roc or precision_recall.
    """
    across, up = _AXES[kind]
    legend = tuple(curve.label if curve.area is None else f"{curve.label[:20]} {curve.area:.2f}" for curve in curves)
    plot = Plot(axis(across, [0, 1], percents=True), axis(up, [0, 1], percents=True), legend, height=300)
    marks = [plot.line([(0, 0), (1, 1)], "ideal")] if kind == "roc" else []
    for number, curve in enumerate(curves):
        marks.append(plot.line([(x, y) for x, y, _ in curve.points], f"line c{number}"))
    for number, curve in enumerate(curves):
        step = max(1, math.ceil(len(curve.points) / SPOTS))
        for x, y, threshold in curve.points[::step]:
            at = "" if math.isnan(threshold) else f", from a probability of {threshold:.2f}"
            first, second = across.partition(" (")[0], up.partition(" (")[0]
            note = f"{curve.label}: {percent(y)} {second}, {percent(x)} {first}{at}"
            marks.append(plot.dot(x, y, f"spot c{number}", note, 5))
    what = "ROC" if kind == "roc" else "Precision-recall"
    said = ", ".join(f"{curve.label} {curve.area:.3f}" for curve in curves if curve.area is not None)
    return plot.draw(f"{what} curves, area by class: {said}", marks)
