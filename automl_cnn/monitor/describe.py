"""What the monitor found, as lines for a terminal and as one object for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from automl_cnn.monitor.watch import Findings
from automl_cnn.monitor.words import NAMES, advice, caveat, chance, headline, stability, value

_MOST_CLASSES = 20


def describe(found: Findings) -> list[str]:
    """The findings as lines for a screen."""
    if not found.images:
        return [headline(found)]
    lines = [headline(found), "", *_scope(found), "", *_checks(found), "", *_shares(found)]
    if quality := found.quality:
        lines += [
            "",
            f"{quality.labelled:,} true labels: {100 * quality.accuracy:.1f} % right "
            f"(95 % interval {100 * quality.low:.1f} to {100 * quality.high:.1f}; "
            f"{100 * quality.reference_accuracy:.1f} % on the reference), mean confidence "
            f"{100 * quality.confidence:.1f} %, calibration error {100 * quality.ece:.1f} % "
            f"({100 * quality.reference_ece:.1f} %)",
        ]
        if quality.foreign:
            lines.append(f"{quality.foreign:,} of them name a class that the model does not know")
    if said := caveat(found):
        lines.append(said)
    return [*lines, *(f"→ {piece}" for piece in advice(found))]


def as_object(found: Findings) -> dict[str, Any]:
    """The findings as JSON can hold them; times in ISO 8601, UTC."""
    plain: dict[str, Any] = _plain({**asdict(found), "headline": headline(found), "advice": advice(found)})
    return plain


def _scope(found: Findings) -> list[str]:
    tested = f", {found.tested:,} of them tested" if found.tested < found.images else ""
    lines = [
        f"{found.images:,} images from {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC{tested}, "
        f"against {found.reference_images:,} validation images in {found.reference_groups:,} groups",
        f"{len(found.checks)} tests, {100 * found.alpha:g} % false alarms a look at most where images come "
        "independently of one another",
    ]
    if found.other_models:
        lines.append(f"{found.other_models:,} rows of other models are left out")
    if found.unexamined:
        lines.append(f"{found.unexamined:,} rows that were logged without reference.npz are left out")
    return lines


def _checks(found: Findings) -> list[str]:
    least = found.alpha / 100
    rows = [
        (
            "!" if check.alarm else "", NAMES[check.name], value(check, check.reference), value(check, check.live),
            stability(check), chance(check.p_value, least), chance(check.p_adjusted, least),
        )
        for check in found.checks
    ]  # fmt: skip
    return _table(("", "", "reference", "now", "PSI (chance)", "p", "p adjusted"), rows, left=2)


def _shares(found: Findings) -> list[str]:
    rows = [
        (
            one.label, f"{100 * one.reference:.1f} %", f"{100 * one.predicted:.1f} %", f"{100 * one.estimated:.1f} %",
            f"{100 * one.low:.1f} to {100 * one.high:.1f}",
        )
        for one in found.shares[:_MOST_CLASSES]
    ]  # fmt: skip
    table = _table(("class", "reference", "answered", "estimated", "95 % interval"), rows, left=1)
    more = len(found.shares) - _MOST_CLASSES
    return [*table, f"and {more} more classes; --json has them"] if more > 0 else table


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Lines of a table; the first `left` columns are flush left."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    return [
        "  ".join(
            text.ljust(width) if i < left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (columns, *rows)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value
