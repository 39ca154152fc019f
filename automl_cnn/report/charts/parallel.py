"""Parallel coordinates: all trials of a search over their hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from automl_cnn.report.charts.plot import Axis, axis, svg, text
from automl_cnn.report.wording import tame

LINES = 300  # of the parallel coordinates, the best; more are a blot
AXES = 7
_LEVELS = 12  # classes of a hyperparameter that are named
_NAME_CHARS = 20
_WIDTH, _HEIGHT, _TOP, _BOTTOM, _SIDE = 1000, 340, 46, 18, 52


@dataclass(frozen=True)
class TrialLine:
    """One trial in the parallel coordinates.

    Attributes:
        number: trial_id.
        values: hyperparameter → number, text or None where the trial has none.
        score: 0…1.
        rough: it was scored on a part of the images.
    """

    number: int
    values: Mapping[str, Any]
    score: float
    rough: bool


def parallel_chart(trials: Sequence[TrialLine], parameters: Sequence[str], objective: str, winner: int) -> str:
    """Parallel coordinates: one vertical axis a hyperparameter, the score at the right, one line a trial.

    Args:
        trials: those with a score; at least two.
        parameters: hyperparameters that differ between them; the first AXES are drawn.
        objective: what was scored.
        winner: trial_id of the trial that won.
    Returns:
        An SVG element, wide: 1000 by 340.
    """
    shown = sorted(trials, key=lambda line: line.score)[-LINES:]
    rails = [_Rail.over(name, [line.values.get(name) for line in shown]) for name in parameters[:AXES]]
    rails.append(_Rail.over(objective, [line.score for line in shown]))
    step = (_WIDTH - 2 * _SIDE) / (len(rails) - 1)
    places = [_SIDE + number * step for number in range(len(rails))]
    parts = [f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>' for x in places]
    order = [line for line in shown if line.number != winner]  # the worst first, so that the best lie on top
    order += [line for line in shown if line.number == winner]
    for rank, line in enumerate(order):
        values = [*(line.values.get(rail.name) for rail in rails[:-1]), line.score]
        points = " ".join(f"{x:.1f},{rail.y(v):.1f}" for x, rail, v in zip(places, rails, values, strict=True))
        best = line.number == winner
        strength = 1.0 if best else 0.15 + 0.7 * ((rank + 1) / len(order)) ** 2  # many lines share their places
        kind = "line best" if best else "line rough" if line.rough else "line"
        said = [f"{name_of(rail.name)} {_said(value)}" for rail, value in zip(rails[:-1], values, strict=False)]
        note = f"trial {line.number}: {objective} {line.score:.4f}"
        note += " on a part of the images" if line.rough else " (the winner)" if best else ""
        parts.append(
            f'<g class="mark"><title>{escape(tame("; ".join([note, *said])))}</title>'
            f'<polyline class="reach" points="{points}"/>'
            f'<polyline class="{kind}" opacity="{strength:.2f}" points="{points}"/></g>'
        )
    for number, (x, rail) in enumerate(zip(places, rails, strict=True)):
        parts.append(text(x, 16 if number % 2 == 0 else 32, name_of(rail.name), anchor="middle", kind="label"))
        parts += [text(x + 5, y + 4, words, anchor="start", kind="axis on-line") for y, words in rail.ticks()]
    title = f"{len(shown)} trials over their hyperparameters; "
    title += f"{objective} from {shown[0].score:.3f} to {shown[-1].score:.3f}"
    return svg(_WIDTH, _HEIGHT, title, parts, "wide")


def name_of(parameter: str) -> str:
    """A hyperparameter's name as people write it."""
    return parameter.removesuffix("_px").replace("_", " ")


@dataclass(frozen=True)
class _Rail:
    """One vertical axis: numbers in their order, classes in the order of their names, none at the foot."""

    name: str
    scale: Axis | None
    levels: tuple[str, ...]
    has_none: bool

    @classmethod
    def over(cls, name: str, values: Sequence[Any]) -> _Rail:
        known = [value for value in values if not _is_none(value)]
        has_none = len(known) < len(values)
        if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
            numbers = [float(value) for value in known]
            log = min(numbers) > 0 and max(numbers) / min(numbers) >= 20
            whole = not log and all(isinstance(value, int) for value in known)
            return cls(name, axis(name, numbers, about=4, log=log, whole=whole), (), has_none)
        return cls(name, None, tuple(sorted({str(value) for value in known})), has_none)

    def y(self, value: Any) -> float:
        """Height of a value in pixels."""
        foot = _HEIGHT - _BOTTOM
        if _is_none(value):
            return foot
        if self.scale is not None:
            share = self.scale.share(float(value)) if self.scale.high > self.scale.low else 0.5
        else:
            share = self.levels.index(str(value)) / (len(self.levels) - 1) if len(self.levels) > 1 else 0.5
        lowest = foot - (30 if self.has_none else 6)
        return lowest - share * (lowest - _TOP - 6)

    def ticks(self) -> list[tuple[float, str]]:
        """Heights and words of what is written beside the axis."""
        written = [(self.y(None), "none")] if self.has_none else []
        if self.scale is not None:
            return [*written, *((self.y(tick), self.scale.as_text(tick)) for tick in self.scale.ticks)]
        some = self.levels[:: max(1, math.ceil(len(self.levels) / _LEVELS))]
        return [*written, *((self.y(level), _tail(level)) for level in some)]


def _tail(level: str) -> str:
    """The end of a long name, which is what tells networks apart."""
    return level if len(level) <= _NAME_CHARS else f"…{level[1 - _NAME_CHARS :]}"


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _said(value: Any) -> str:
    if _is_none(value):
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
