"""Charts of the search: the score trial by trial, and the score against what a network costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from automl_cnn.report.charts.plot import Plot, axis


@dataclass(frozen=True)
class CostPoint:
    """One network or file: what it is, what it costs, its score in 0…1, and the remark of one that is marked."""

    name: str
    cost: float
    score: float
    remark: str = ""


def trials_chart(trials: Sequence[tuple[int, float]], objective: str) -> str:
    """Score of every trial in the order in which they ran, the best so far as a line.

    Args:
        trials: number and score (0…1) of those that ended well; at least one.
        objective: what was scored.
    Returns:
        An SVG element.
    """
    best_number, best_score = max(trials, key=lambda pair: (pair[1], -pair[0]))
    first, last = trials[0][0], trials[-1][0]
    across = axis("trial", [first, max(last, first + 1)], whole=True, about=6)
    plot = Plot(across, axis(objective, [score for _, score in trials], padding=0.08, share=True))
    steps: list[tuple[float, float]] = []
    best = -math.inf
    for number, score in trials:
        if score > best:
            steps += [(number, best if steps else score), (number, score)]
            best = score
    steps.append((last, best))
    marks = [plot.line(steps)]
    marks += [plot.dot(x, y, "faint", f"trial {x}: {y:.4f}") for x, y in trials if x != best_number]
    marks.append(plot.dot(best_number, best_score, "best", f"trial {best_number}, the best: {best_score:.4f}", 5))
    title = f"{objective} on validation of {len(trials)} trials; the best, {best_score:.3f}, is number {best_number}"
    return plot.draw(title, marks)


def frontier_chart(points: Sequence[CostPoint], objective: str, cost: str, limit: float | None = None) -> str:
    """Score against what a network costs; the line joins those that no cheaper one beats.

    Args:
        points: at least one.
        objective: what was scored.
        cost: what is paid, with its unit: "latency, ms".
        limit: what params.yaml allows, drawn as a dashed line.
    """
    costs = [point.cost for point in points] + ([limit] if limit is not None else [])
    scores = axis(objective, [point.score for point in points], padding=0.15, share=True)
    plot = Plot(axis(cost, costs, padding=0.12, about=6), scores)
    steps: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda one: (one.cost, -one.score)):
        if not steps or point.score > steps[-1][1]:
            steps += [(point.cost, steps[-1][1])] if steps else []
            steps.append((point.cost, point.score))
    marks = [plot.line(steps)] if len(steps) > 1 else []
    if limit is not None:
        marks.insert(0, plot.whisker(limit, plot.y.low, plot.y.high, "ideal"))
    unit = cost.rpartition(" ")[2]
    for point in points:
        note = f"{point.name}: {objective} {point.score:.4f}, {point.cost:.3g} {unit}"
        note += f"; {point.remark}" if point.remark else ""
        marks.append(plot.dot(point.cost, point.score, "best" if point.remark else "faint", note, 5))
    return plot.draw(f"{objective} against {cost} of {len(points)} candidates", marks)
