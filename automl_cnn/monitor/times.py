"""Times and windows as they are typed: 2026-11-22, 7d, 500."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from automl_cnn.errors import AutoMLError, ConfigError

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_time(option: str, text: str, now: datetime) -> datetime:
    """A time, or how long ago it was.

    Args:
        option: that it was given with, for the error.
        text: 2026-11-22, 2026-11-22T08:00, with a time zone or in UTC; or 90m, 12h, 7d, 2w before now.
        now: with its time zone.
    Returns:
        In UTC.
    Raises:
        ConfigError: it is neither, or lies before the year 1 or after 9999.
    """
    try:
        if (ago := _duration(text)) is not None:
            return now - ago
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise _wrong(option, "a time such as 2026-11-22T08:00 (UTC), or 12h or 7d ago", text) from None


def parse_window(option: str, text: str) -> int | timedelta:
    """A number of images, or a length of time: 90m, 12h, 7d, 2w.

    Raises:
        ConfigError: it is neither, or zero.
    """
    if re.fullmatch(r"\d{1,12}", text) and int(text):
        return int(text)
    if duration := _duration(text):
        return duration
    raise _wrong(option, "a number of images, or a time such as 12h or 7d", text)


def _duration(text: str) -> timedelta | None:
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def _wrong(option: str, expected: str, received: str) -> ConfigError:
    return ConfigError(
        [AutoMLError(option, expected=expected, received=repr(received), action=f"Change {option}.")]
    )  # fmt: skip
