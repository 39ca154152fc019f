"""Small charts as SVG: drawn by hand so that they follow the page's colours, scale, print and can be read aloud."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from automl_cnn.report.wording import percent, percent_range

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 14, 42

# Colours of a chart that stands alone; inside the report the page's own rules win.
STANDALONE_CSS = """
svg{background:#fff;font:12px system-ui,sans-serif}.grid{stroke:#dfe3e8}.axis,.label{fill:#5b6470}
.line{fill:none;stroke:#1f5fa8;stroke-width:2}.dot{fill:#1f5fa8}.faint{fill:#1f5fa8;fill-opacity:.35}
.best{fill:#b4501a}.ideal{stroke:#5b6470;stroke-dasharray:4 4}.bar{fill:#1f5fa8;fill-opacity:.25}
"""


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
    plot = _Plot.over([first, max(last, first + 1)], [score for _, score in trials], whole_x=True)
    steps: list[tuple[float, float]] = []
    best = -math.inf
    for number, score in trials:
        if score > best:
            steps += [(number, best if steps else score), (number, score)]
            best = score
    steps.append((last, best))
    marks = [_polyline(plot, steps)]
    marks += [_dot(plot, x, y, "faint", f"trial {x}: {y:.4f}") for x, y in trials if x != best_number]
    marks.append(_dot(plot, best_number, best_score, "best", f"best: {best_score:.4f}", radius=5))
    title = f"{objective} on validation of {len(trials)} trials; the best, {best_score:.3f}, is number {best_number}"
    return plot.draw(title, "trial", objective, marks)


def epochs_chart(epochs: Sequence[float], values: Sequence[float], name: str, best_epoch: float | None = None) -> str:
    """One value an epoch as a line; the chosen epoch is marked."""
    plot = _Plot.over(epochs if len(epochs) > 1 else [0, 1], values, whole_x=True)
    pairs = list(zip(epochs, values, strict=True))
    marks = [_polyline(plot, pairs)]
    marks += [
        _dot(
            plot,
            x,
            y,
            "best" if x == best_epoch else "dot",
            f"epoch {x:g}: {y:.4f}",
            radius=5 if x == best_epoch else 3,
        )
        for x, y in pairs
    ]
    chosen = f"; epoch {best_epoch:g} was kept" if best_epoch is not None else ""
    return plot.draw(f"{name} by epoch, from {values[0]:.3f} to {values[-1]:.3f}{chosen}", "epoch", name, marks)


def reliability_chart(bins: Sequence[tuple[float, float, int]]) -> str:
    """Accuracy against confidence; on the diagonal a probability means what it says.

    Args:
        bins: confidence, accuracy, number of images.
    """
    plot = _Plot.over([0, 1], [0, 1], padding=0)
    largest = max(count for *_, count in bins)
    (x0, y0), (x1, y1) = plot.at(0, 0), plot.at(1, 1)
    marks = [f'<line class="ideal" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>']
    marks += [
        _dot(plot, confidence, accuracy, "faint", f"at {percent(confidence)}, {percent(accuracy)} of {count} are right",
             radius=3 + 9 * math.sqrt(count / largest))
        for confidence, accuracy, count in bins
    ]  # fmt: skip
    return plot.draw("Share of right answers by confidence; the dashed line is perfect calibration",
                     "confidence", "share right", marks, percents=True)  # fmt: skip


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
    parts += [_text(x(tick / 4), y + 34, f"{25 * tick} %", anchor="middle") for tick in range(5)]
    parts.append(
        f'<rect class="bar" x="{x(low):.1f}" y="{y - 10}" width="{max(x(high) - x(low), 2):.1f}" height="20" rx="3"/>'
    )
    for number, (name, share) in enumerate(others):
        parts.append(f'<line class="ideal" x1="{x(share):.1f}" x2="{x(share):.1f}" y1="{y - 14}" y2="{y + 14}"/>')
        anchor = "end" if share > 0.75 else "start" if share < 0.25 else "middle"
        parts.append(_text(x(share), y - 22 - 22 * (number % 2), name, anchor=anchor))
    parts.append(f'<circle class="best" cx="{x(accuracy):.1f}" cy="{y}" r="6"/>')
    title = f"Accuracy {percent(accuracy)}, 95 % interval {percent_range(interval)}; " + "; ".join(
        f"{name} {percent(share)}" for name, share in others
    )
    return _svg(width, 104, title, parts, "strip")


def standalone(svg: str) -> str:
    """The chart as a file of its own, with colours."""
    head, rest = svg.split(">", 1)
    return f"{head}><style>{STANDALONE_CSS}</style>{rest}\n"


@dataclass(frozen=True)
class _Plot:
    """Maps values to pixels and draws the axes."""

    x_ticks: list[float]
    y_ticks: list[float]
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    @classmethod
    def over(cls, xs: Sequence[float], ys: Sequence[float], *, padding: float = 0.08, whole_x: bool = False) -> _Plot:
        """A plot whose axes hold all of `xs` and `ys`."""
        x_low, x_high = min(xs), max(xs)
        y_low, y_high = min(ys), max(ys)
        margin = padding * ((y_high - y_low) or 0.1)
        ticks = _ticks(x_low, x_high, 6)
        if whole_x:
            ticks = sorted({float(math.ceil(tick)) for tick in ticks})
        return cls(
            [tick for tick in ticks if x_low <= tick <= x_high],
            _ticks(y_low - margin, y_high + margin, 5),
            (x_low, x_high),
            (y_low - margin, y_high + margin),
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point."""
        across = (x - self.x_range[0]) / ((self.x_range[1] - self.x_range[0]) or 1)
        up = (y - self.y_range[0]) / ((self.y_range[1] - self.y_range[0]) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def draw(self, title: str, x_name: str, y_name: str, marks: list[str], *, percents: bool = False) -> str:
        """The whole chart: grid, labels, marks."""
        parts: list[str] = []
        as_text: Callable[[float], str] = (lambda tick: f"{100 * tick:.0f} %") if percents else _short
        for tick in self.y_ticks:
            _, y = self.at(self.x_range[0], tick)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(_text(LEFT - 7, y + 4, as_text(tick), anchor="end"))
        for tick in self.x_ticks:
            x, _ = self.at(tick, self.y_range[0])
            parts.append(_text(x, HEIGHT - BOTTOM + 17, as_text(tick), anchor="middle"))
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_name, anchor="middle", kind="label"))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        turned = f' transform="rotate(-90 12 {middle})"'
        parts.append(_text(12, middle, y_name, anchor="middle", kind="label", extra=turned))
        return _svg(WIDTH, HEIGHT, title, parts + marks, "plot")


def _svg(width: int, height: int, title: str, parts: Sequence[str], kind: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, *, anchor: str, kind: str = "axis", extra: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def _dot(plot: _Plot, x: float, y: float, kind: str, note: str, radius: float = 3.5) -> str:
    cx, cy = plot.at(x, y)
    return f'<circle class="{kind}" cx="{cx:.1f}" cy="{cy:.1f}" r="{radius:.1f}"><title>{escape(note)}</title></circle>'


def _polyline(plot: _Plot, pairs: Sequence[tuple[float, float]]) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (plot.at(*pair) for pair in pairs))
    return f'<polyline class="line" points="{places}"/>'


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers between two bounds, some `about` of them."""
    span = (high - low) or 1.0
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _short(tick: float) -> str:
    return f"{tick:g}"
