"""Numbers as people read them: percent, points, megabytes, milliseconds, minutes, counts with their noun."""

from __future__ import annotations

import re
from collections.abc import Sequence

NBSP = "\u00a0"
# controls that no page and no SVG may hold, and those that turn the direction of whatever comes after them
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def tame(text: str) -> str:
    """A name that the user gave with a replacement character for everything that cannot be shown as itself."""
    return _UNSHOWN.sub("\ufffd", text)


def percent(share: float, digits: int = 1) -> str:
    """0.8731 → "87.3 %"."""
    return f"{100 * share:.{digits}f}{NBSP}%"


def percent_range(interval: Sequence[float]) -> str:
    """(0.85, 0.893) → "85.0 to 89.3 %"."""
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f}{NBSP}%"


def bounds(interval: Sequence[float]) -> str:
    """(-0.004, 0.012) → "[-0.004, 0.012]", in full, for a copied table."""
    low, high = interval
    return f"[{low}, {high}]"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, always signed: −0.004 → "−0.4"."""
    rounded = round(100 * difference, 1)
    return "±0.0" if rounded == 0 else f"{rounded:+.1f}".replace("-", "−")


def points_range(interval: Sequence[float]) -> str:
    """(-0.013, 0.004) → "−1.3 to +0.4"."""
    low, high = interval
    return f"{points(low)} to {points(high)}"


def file_size(size_bytes: int) -> str:
    """3_480_000 → "3.48 MB"; below 0.1 MB in kB."""
    return f"{size_bytes / 1e6:.2f}{NBSP}MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f}{NBSP}kB"


def milliseconds(value: float) -> str:
    """12.34 → "12.3 ms"; below 1 ms with two digits."""
    return f"{value:.1f}{NBSP}ms" if value >= 1 else f"{value:.2g}{NBSP}ms"


def duration(seconds: float) -> str:
    """75.2 → "1 min 15 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f}{NBSP}s" if seconds < 10 else f"{whole}{NBSP}s"
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}{NBSP}h {minutes:02}{NBSP}min" if hours else f"{minutes}{NBSP}min {whole % 60:02}{NBSP}s"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """(1, "image") → "1 image"; (1200, "image") → "1,200 images"."""
    return f"{number:,}{NBSP}{singular if number == 1 else plural or singular + 's'}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names as an English list, cut after `most`: "a, b and c", "a, b and 40 more"."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
