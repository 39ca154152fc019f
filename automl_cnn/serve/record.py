"""Predictions on their way into the log of predictions, beside the requests and never in their way."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WAITING = 10_000  # records; a few megabytes
AT_ONCE = 500
CLOSE_TIMEOUT_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """One image that was labelled over HTTP.

    Attributes:
        id: the request's id; with /0, /1, … behind it where the request had several images.
        prediction: the fields of automl_cnn.serve.predict.Prediction.
        statistics: how the image looks, or None for a model without reference.npz.
        sketch: its features in brief, or None.
    """

    id: str
    prediction: Mapping[str, Any]
    statistics: Mapping[str, float] | None
    sketch: Sequence[float] | None


Append = Callable[[Sequence[Served]], None]


class Recorder:
    """Hands records to a thread that appends them; drops and counts those for which it has no time.

    Args:
        append: keeps records; what it raises is told in the server's log and costs those records.
    """

    def __init__(self, append: Append) -> None:
        self._append = append
        self._waiting: queue.Queue[Served | None] = queue.Queue(WAITING)
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def record(self, served: Sequence[Served]) -> None:
        """Take records; returns at once."""
        for one in served:
            try:
                self._waiting.put_nowait(one)
            except queue.Full:
                self.dropped += 1

    def close(self) -> None:
        """Return when all is kept that was recorded, or half a minute has passed."""
        self._waiting.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        ended = False
        while not ended:
            taken = [self._waiting.get()]
            while len(taken) < AT_ONCE and not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            ended = None in taken
            records = [one for one in taken if one is not None]
            try:
                self._append(records)
            except Exception:  # a full disk must not end the thread, whatever it raises
                self.dropped += len(records)
                _log.exception("predictions not logged", extra={"fields": {"records": len(records)}})
