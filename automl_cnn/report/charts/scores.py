"""Charts of the test split: accuracy with its interval, and whether probabilities can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from automl_cnn.report.charts.plot import Plot, axis, svg, text
from automl_cnn.report.wording import percent, percent_range


def reliability_chart(bins: Sequence[tuple[float, float, int]]) -> str:
    """Accuracy against confidence; on the diagonal a probability means what it says.

    Args:
        bins: confidence, accuracy, number of images.
    """
    plot = Plot(axis("confidence", [0, 1], percents=True), axis("share right", [0, 1], percents=True))
    largest = max(count for *_, count in bins)
    marks = [plot.line([(0, 0), (1, 1)], "ideal")]
    marks += [
        plot.dot(confidence, accuracy, "faint", f"at {percent(confidence)}, {percent(accuracy)} of {count} are right",
                 3 + 9 * math.sqrt(count / largest))
        for confidence, accuracy, count in bins
    ]  # fmt: skip
    return plot.draw("Share of right answers by confidence; the dashed line is perfect calibration", marks)


def accuracy_strip(accuracy: float, interval: Sequence[float], others: Sequence[tuple[str, float]]) -> str:
    """Accuracy with its interval on a line from 0 to 100 %, other accuracies as ticks with their names.

    Args:
        accuracy: 0…1.
        interval: low, high.
        others: name and accuracy each, at most three; names are ours, not the user's.
    """
    width, y = 640, 62  # two rows of names above the line
    low, high = interval

    def x(share: float) -> float:
        return 24 + share * (width - 48)

    parts = [f'<line class="grid" x1="{x(0)}" x2="{x(1)}" y1="{y}" y2="{y}" stroke-width="2"/>']
    anchors = ("start", "middle", "middle", "middle", "end")  # at the ends a phone's larger type has no room beyond
    parts += [text(x(tick / 4), y + 34, f"{25 * tick} %", anchor=anchor) for tick, anchor in enumerate(anchors)]
    parts.append(
        f'<rect class="bar" x="{x(low):.1f}" y="{y - 10}" width="{max(x(high) - x(low), 2):.1f}" height="20" rx="3"/>'
    )
    for number, (name, share) in enumerate(others):
        parts.append(f'<line class="ideal" x1="{x(share):.1f}" x2="{x(share):.1f}" y1="{y - 14}" y2="{y + 14}"/>')
        anchor = "end" if share > 0.75 else "start" if share < 0.25 else "middle"
        parts.append(text(x(share), y - 22 - 22 * (number % 2), name, anchor=anchor))
    note = f"{percent(accuracy)}, 95 % interval {percent_range(interval)}"
    parts.append(f'<circle class="mark best" cx="{x(accuracy):.1f}" cy="{y}" r="6"><title>{note}</title></circle>')
    title = f"Accuracy {note}; " + "; ".join(f"{name} {percent(share)}" for name, share in others)
    return svg(width, 104, title, parts, "strip")
