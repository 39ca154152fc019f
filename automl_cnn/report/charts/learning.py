"""Learning curves: the score against training images, and one look ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automl_cnn.report.charts.plot import Plot, axis
from automl_cnn.report.wording import percent, percent_range


@dataclass(frozen=True)
class LearningLine:
    """One curve: images, score in 0…1, low and high of its interval each; the last point is a look ahead."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]


def learning_chart(lines: Sequence[LearningLine], score: str) -> str:
    """Draw at most eight curves; what was measured as a line, what is expected with twice as many images dashed.

    Args:
        lines: at least one, of at least two points each.
        score: what is measured, in 0…1.
    """
    images = [point[0] for line in lines for point in line.points]
    lows, highs = ([point[side] for line in lines for point in line.points] for side in (2, 3))
    up = axis(score, [*lows, *highs] if len(lines) == 1 else [p[1] for line in lines for p in line.points],
              padding=0.08, percents=True)  # fmt: skip
    across = axis("training images", [max(n, 1) for n in images], log=True, padding=0.04)
    plot = Plot(across, up, tuple(line.name for line in lines) if len(lines) > 1 else ())
    marks = []
    for number, line in enumerate(lines):
        xs, ys = [point[0] for point in line.points], [point[1] for point in line.points]
        if len(lines) == 1:
            marks.append(plot.band(xs, [point[2] for point in line.points], [point[3] for point in line.points]))
        pairs = list(zip(xs, ys, strict=True))
        marks.append(plot.line(pairs[:-1], f"line c{number}"))
        marks.append(plot.line(pairs[-2:], f"line rough c{number}"))
    for number, line in enumerate(lines):
        for place, (n, value, low, high) in enumerate(line.points):
            ahead = place == len(line.points) - 1
            note = f"{line.name}, {n:,.0f} images: {percent(value)} ({percent_range((low, high))})"
            marks.append(plot.dot(n, value, f"dot c{number}", note + (", expected" if ahead else ""), 3))
    return plot.draw(f"{score} against training images; the last point of a curve is expected, not measured", marks)
