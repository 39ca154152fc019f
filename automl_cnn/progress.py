"""How long work reports itself. Science modules call it; only the console module draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work advances; must be cheap and must not raise."""

    def __call__(self, label: str, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` units of `label` are finished; `note` adds a few words."""


def silent(label: str, done: int, total: int, note: str = "") -> None:
    """The default: say nothing."""
