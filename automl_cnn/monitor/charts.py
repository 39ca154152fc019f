"""Charts of the drift page as SVG: they follow the page's colours, scale, print, can be hovered and read aloud."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from automl_cnn.monitor.checks import Histogram

WIDTH, HEIGHT = 300, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 8, 22
_COURSE_WIDTH, _COURSE_HEIGHT, _COURSE_LEFT = 460, 210, 54


def histogram_chart(histogram: Histogram, name: str) -> str:
    """Reference as an area, live images as a line.

    Args:
        histogram: at least one bin.
        name: of what it shows.
    """
    edges, top = histogram.edges, max(*histogram.reference, *histogram.live) or 1.0
    span = (edges[-1] - edges[0]) or 1.0

    def x(value: float) -> float:
        return _LEFT + (value - edges[0]) / span * (WIDTH - _LEFT - _RIGHT)

    def y(share: float) -> float:
        return HEIGHT - _BOTTOM - share / top * (HEIGHT - _TOP - _BOTTOM)

    parts = []
    for low, high, before, now in zip(edges, edges[1:], histogram.reference, histogram.live, strict=False):
        width = max(x(high) - x(low) - 0.5, 0.5)
        parts.append(
            f'<rect class="before" x="{x(low):.1f}" y="{y(before):.1f}" width="{width:.1f}" '
            f'height="{y(0) - y(before):.1f}"/>'
        )
        note = f"{_short(low)} to {_short(high)}: reference {100 * before:.1f} %, now {100 * now:.1f} %"
        parts.append(
            f'<rect class="hover" x="{x(low):.1f}" y="{_TOP}" width="{width:.1f}" '
            f'height="{HEIGHT - _TOP - _BOTTOM}"><title>{escape(note)}</title></rect>'
        )
    steps = [
        f"{x(edge):.1f},{y(now):.1f}"
        for low, high, now in zip(edges, edges[1:], histogram.live, strict=False)
        for edge in (low, high)
    ]
    parts.append(f'<polyline class="now" points="{" ".join(steps)}"/>')
    parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(0):.1f}" y2="{y(0):.1f}"/>')
    parts.append(_text(x(edges[0]), HEIGHT - 6, _short(edges[0]), "start"))
    parts.append(_text(x(edges[-1]), HEIGHT - 6, _short(edges[-1]), "end"))
    return _svg(WIDTH, HEIGHT, f"Distribution of {name}: reference as bars, these images as a line", parts, "histogram")


def course_chart(
    shares: Sequence[float], notes: Sequence[str], usual: float | None, name: str, *, from_zero: bool = True
) -> str:
    """A share of the images, window by window.

    Args:
        shares: 0…1, oldest first; at least one.
        notes: what hovering says of each.
        usual: on the reference, drawn as a dashed line.
        name: of the share.
        from_zero: the axis begins at zero; else a little below the least share.
    """
    drawn = [*shares, *([] if usual is None else [usual])]
    base = 0.0 if from_zero else max(min(drawn) - 0.05, 0.0)
    top, bottom = max(*drawn, base + 0.02), _COURSE_HEIGHT - 30

    def at(index: int, share: float) -> tuple[float, float]:
        across = 0.5 if len(shares) == 1 else index / (len(shares) - 1)
        return _COURSE_LEFT + 10 + across * (_COURSE_WIDTH - _COURSE_LEFT - 30), bottom - (share - base) / (
            top - base
        ) * (bottom - 18)

    parts = []
    for tick in (base, (base + top) / 2, top):
        height = at(0, tick)[1]
        parts.append(
            f'<line class="grid" x1="{_COURSE_LEFT}" x2="{_COURSE_WIDTH - 10}" y1="{height:.1f}" y2="{height:.1f}"/>'
        )
        parts.append(_text(_COURSE_LEFT - 7, height + 4, f"{100 * tick:.{0 if top - base > 0.1 else 1}f} %", "end"))
    if usual is not None:
        height = at(0, usual)[1]
        parts.append(
            f'<line class="ideal" x1="{_COURSE_LEFT}" x2="{_COURSE_WIDTH - 10}" y1="{height:.1f}" y2="{height:.1f}"/>'
        )
    points = [at(index, share) for index, share in enumerate(shares)]
    parts.append(f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
    parts += [
        f'<circle class="{"best" if index == len(points) - 1 else "dot"}" cx="{x:.1f}" cy="{y:.1f}" r="4">'
        f"<title>{escape(note)}</title></circle>"
        for index, ((x, y), note) in enumerate(zip(points, notes, strict=True))
    ]
    parts.append(_text(_COURSE_LEFT + 10, _COURSE_HEIGHT - 8, "older", "start"))
    parts.append(_text(_COURSE_WIDTH - 20, _COURSE_HEIGHT - 8, "last", "end"))
    return _svg(_COURSE_WIDTH, _COURSE_HEIGHT, f"{name} by window; dashed: on the reference", parts, "plot")


def _svg(width: int, height: int, title: str, parts: Sequence[str], kind: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
