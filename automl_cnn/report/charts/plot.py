"""Axes and marks of a chart. A mark carries its values as text: shown on hover, on keyboard focus, and read aloud."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from automl_cnn.report.wording import tame

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 14, 42
COLOURS = 8  # c0 to c7 of the style sheet
_LEGEND_PX, _LEGEND_COLUMNS, _LEGEND_CHARS = 18, 2, 26

# Colours of a chart that stands alone; inside the report the page's own rules win.
_HUES = ("#1f5fa8", "#b4501a", "#23734a", "#8a4fa3", "#7a6a00", "#c0266d", "#0e7c86", "#5b6470")
_STANDALONE_CSS = """
svg{background:#fff;font:12px system-ui,sans-serif}.grid{stroke:#dfe3e8}.axis,.label{fill:#5b6470}
.line{fill:none;stroke:var(--c,#1f5fa8);stroke-width:2}.dot{fill:var(--c,#1f5fa8)}.faint{fill:#1f5fa8;fill-opacity:.35}
.best{fill:#b4501a}.line.best{fill:none;stroke:#b4501a;stroke-width:3}.line.rough{stroke-dasharray:3 3}
.ideal{stroke:#5b6470;stroke-dasharray:4 4;fill:none}.bar{fill:#1f5fa8;fill-opacity:.25}
.band{fill:var(--c,#1f5fa8);fill-opacity:.15}.reach{fill:none;stroke:none}.spot{fill-opacity:0}
"""
STANDALONE_CSS = _STANDALONE_CSS + "".join(f".c{i}{{--c:{hue}}}" for i, hue in enumerate(_HUES)) + "\n"


@dataclass(frozen=True)
class Axis:
    """One direction of a plot.

    Attributes:
        name: what it measures; may hold names that the user gave.
        low, high: its ends; both above 0 where it is logarithmic.
        ticks: the values that are written beside it.
        as_text: how they are written.
        log: whether equal factors are equally far apart.
    """

    name: str
    low: float
    high: float
    ticks: tuple[float, ...]
    as_text: Callable[[float], str]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one; what lies outside is drawn at the end."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        at = math.log(max(value, self.low)) if self.log else value
        return min(max((at - low) / ((high - low) or 1), 0.0), 1.0)


def axis(
    name: str,
    values: Sequence[float],
    *,
    padding: float = 0.0,
    about: int = 5,
    whole: bool = False,
    percents: bool = False,
    log: bool = False,
    share: bool = False,
) -> Axis:
    """An axis that holds all values.

    Args:
        name: what it measures.
        values: at least one, finite; above 0 with `log`.
        padding: share of the span that is added at both ends; of the factor between them with `log`.
        about: how many ticks.
        whole: ticks are whole numbers.
        percents: values are shares and written as percent.
        share: values are shares, and padding goes neither below 0 nor above 1.
        log: logarithmic; falls back to linear where the values span less than a factor of 3.
    """
    low, high = float(min(values)), float(max(values))
    if log and low > 0 and high / low >= 3:
        factor = (high / low) ** padding
        low, high = low / factor, high * factor
        return Axis(name, low, high, _log_ticks(low, high, about), _short, log=True)
    margin = padding * ((high - low) or abs(high) or 0.1)
    low, high = low - margin, high + margin
    if share:
        low, high = max(low, 0.0), min(high, 1.0)
    ticks = _ticks(low, high, about)
    if whole:
        ticks = sorted({float(math.ceil(tick)) for tick in ticks})
    as_text: Callable[[float], str] = _percent if percents else _short
    return Axis(name, low, high, tuple(tick for tick in ticks if low <= tick <= high), as_text)


@dataclass(frozen=True)
class Plot:
    """Two axes, the marks that lie on them, and below them the names of what is drawn in the colours c0, c1 …"""

    x: Axis
    y: Axis
    legend: tuple[str, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point."""
        across = LEFT + self.x.share(x) * (self.width - LEFT - RIGHT)
        return across, self.height - BOTTOM - self.y.share(y) * (self.height - TOP - BOTTOM)

    def dot(self, x: float, y: float, kind: str, note: str, radius: float = 3.5) -> str:
        """A point that says its values; kind spot is invisible until it is pointed at."""
        cx, cy = self.at(x, y)
        return (
            f'<circle class="mark {kind}" cx="{cx:.1f}" cy="{cy:.1f}" r="{radius:.1f}">'
            f"<title>{escape(tame(note))}</title></circle>"
        )

    def line(self, pairs: Sequence[tuple[float, float]], kind: str = "line") -> str:
        """A line through points."""
        return f'<polyline class="{kind}" points="{self._places(pairs)}"/>'

    def band(self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], kind: str = "band") -> str:
        """The area between two lines."""
        there = list(zip(xs, lows, strict=True))
        back = list(zip(reversed(xs), reversed(highs), strict=True))
        return f'<polygon class="{kind}" points="{self._places(there + back)}"/>'

    def whisker(self, x: float, low: float, high: float, kind: str = "whisker") -> str:
        """A vertical line over an interval."""
        (at, bottom), (_, top) = self.at(x, low), self.at(x, high)
        return f'<line class="{kind}" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom:.1f}" y2="{top:.1f}"/>'

    def draw(self, title: str, marks: Sequence[str]) -> str:
        """The whole chart as an SVG element: grid, labels, marks."""
        parts: list[str] = []
        for tick in self.y.ticks:
            _, y = self.at(self.x.low, tick)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(text(LEFT - 7, y + 4, self.y.as_text(tick), anchor="end"))
        for tick in self.x.ticks:
            x, _ = self.at(tick, self.y.low)
            parts.append(text(x, self.height - BOTTOM + 17, self.x.as_text(tick), anchor="middle"))
        middle = (LEFT + self.width - RIGHT) / 2
        parts.append(text(middle, self.height - 6, self.x.name, anchor="middle", kind="label"))
        middle = (TOP + self.height - BOTTOM) / 2
        turned = f' transform="rotate(-90 12 {middle})"'
        parts.append(text(12, middle, self.y.name, anchor="middle", kind="label", extra=turned))
        rows = math.ceil(len(self.legend) / _LEGEND_COLUMNS)
        parts += [*marks, *self._legend()]
        return svg(self.width, self.height + rows * _LEGEND_PX + (6 if rows else 0), title, parts, "plot")

    def _legend(self) -> list[str]:
        parts = []
        for number, name in enumerate(self.legend):
            x = LEFT + (number % _LEGEND_COLUMNS) * (self.width - LEFT) / _LEGEND_COLUMNS
            y = self.height + 10 + (number // _LEGEND_COLUMNS) * _LEGEND_PX
            short = name if len(name) <= _LEGEND_CHARS else f"{name[: _LEGEND_CHARS - 1]}…"
            parts.append(f'<line class="line c{number}" x1="{x:.1f}" x2="{x + 14:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(text(x + 20, y + 4, short, anchor="start"))
        return parts

    def _places(self, pairs: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*pair) for pair in pairs))


def svg(width: int, height: int, title: str, parts: Sequence[str], kind: str) -> str:
    """An SVG element with a title that is read aloud."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{escape(tame(title))}</title>{''.join(parts)}</svg>"
    )


def text(x: float, y: float, words: str, *, anchor: str, kind: str = "axis", extra: str = "") -> str:
    """Words at a place; they are escaped."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(tame(words))}</text>'


def standalone(chart: str) -> str:
    """The chart as a file of its own, with colours."""
    head, rest = chart.split(">", 1)
    return f"{head}><style>{STANDALONE_CSS}</style>{rest}\n"


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers between two bounds, some `about` of them."""
    span = (high - low) or 1.0
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, about: int) -> tuple[float, ...]:
    """The finest of some series of round numbers that gives no more than `about` ticks, or one more."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors, every in (((1,), 4), ((1,), 2), ((1,), 1), ((1, 3), 1), ((1, 2, 5), 1)):
        finer = [factor * 10.0**power for power in powers[::every] for factor in factors]
        finer = [tick for tick in finer if low <= tick <= high]
        if len(finer) > about + 1 and ticks:
            break
        ticks = finer or ticks
    return tuple(ticks)


def _short(tick: float) -> str:
    return f"{tick:g}" if abs(tick) < 1e5 else f"{tick:,.0f}"


def _percent(tick: float) -> str:
    return f"{100 * tick:g} %"
