"""The course of a log: its figures window by window, so that one sees when something began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from automl_cnn.monitor.sample import UNKNOWN, Sample
from automl_cnn.reference.statistics import STATISTICS

MOST_WINDOWS = 12


@dataclass(frozen=True)
class Stretch:
    """One window: time of its first and last image, number of images, and means over them.

    Attributes:
        statistics: mean of each of STATISTICS.
        confidence, abstentions, strangers: mean confidence; shares of images declined and unlike the training images.
        accuracy: of the `labelled` images; None where there is none.
    """

    since: datetime
    until: datetime
    images: int
    statistics: dict[str, float]
    confidence: float
    abstentions: float
    strangers: float
    labelled: int
    accuracy: float | None


def cut(times: Sequence[datetime], window: int | timedelta | None) -> list[slice]:
    """The last MOST_WINDOWS windows of a log, oldest first; the last one ends with the last row.

    Args:
        times: of the rows, in order.
        window: rows or time a window. None: one window, of all rows.
    Returns:
        Slices of rows; windows of time without rows are left out.
    """
    if not times:
        return []
    if window is None:
        return [slice(0, len(times))]
    if isinstance(window, int):
        starts = range(len(times) - window, -window, -window)
        found = [slice(max(start, 0), start + window) for start in list(starts)[:MOST_WINDOWS]]
        return found[::-1]
    bounds = np.array([time.timestamp() for time in times])
    latest, length = bounds[-1], window.total_seconds()
    number = np.floor((latest - bounds) / length).astype(int)  # 0: the last window
    found = []
    for back in range(MOST_WINDOWS):
        rows = np.flatnonzero(number == back)
        if len(rows):
            found.append(slice(int(rows[0]), int(rows[-1]) + 1))
    return found[::-1]


def course_of(times: Sequence[datetime], live: Sample, windows: Sequence[slice], ood_threshold: float) -> list[Stretch]:
    """The figures of each window; one window alone is cut into MOST_WINDOWS of the same number of images, if it can be.

    Args:
        times: of the rows of `live`, in order.
        windows: from `cut`.
        ood_threshold: score above which an image counts as a stranger.
    """
    if len(windows) == 1 and windows[0].stop - windows[0].start >= 2 * MOST_WINDOWS:
        edges = np.linspace(windows[0].start, windows[0].stop, MOST_WINDOWS + 1).round().astype(int).tolist()
        windows = [slice(low, high) for low, high in pairwise(edges)]
    return [_stretch(times[part], live.rows(part), ood_threshold) for part in windows]


def _stretch(times: Sequence[datetime], part: Sample, ood_threshold: float) -> Stretch:
    labelled = part.answers != UNKNOWN
    right = (part.predicted == part.answers)[labelled]
    return Stretch(
        since=times[0],
        until=times[-1],
        images=len(part),
        statistics=dict(zip(STATISTICS, part.statistics.mean(axis=0).tolist(), strict=True)),
        confidence=float(part.confidence.mean()),
        abstentions=float(part.abstained.mean()),
        strangers=float((part.ood_scores > ood_threshold).mean()),
        labelled=int(labelled.sum()),
        accuracy=float(right.mean()) if len(right) else None,
    )
