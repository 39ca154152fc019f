"""Progress on a screen: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from automl_cnn.progress import Progress

LINE_EVERY_S = 10.0


@contextmanager
def screen_progress(stage: str) -> Iterator[Progress]:
    """Give a progress callback that draws on stderr for as long as the block runs.

    Args:
        stage: the name that stands before every line.
    """
    if sys.stderr.isatty():
        with _bars(stage) as progress:
            yield progress
    else:
        yield _lines(stage)


def _lines(stage: str) -> Progress:
    last: dict[str, float] = {}

    def report(label: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if done < total and now - last.get(label, -LINE_EVERY_S) < LINE_EVERY_S:
            return
        last[label] = now
        count = f" {done:,}/{total:,}" if total > 1 else ""
        print(f"{stage}: {label}{count}{'  ' + note if note else ''}", file=sys.stderr, flush=True)

    return report


@contextmanager
def _bars(stage: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, object] = {}

        def report(label: str, done: int, total: int, note: str = "") -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(f"{stage} · {label}", total=total, note=note)
            bars.update(tasks[label], completed=done, total=total, note=note)  # type: ignore[arg-type]

        yield report
