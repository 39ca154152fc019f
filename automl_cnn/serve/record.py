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
        sketch: the image's features made short; empty for a model without reference.npz.
        statistics: one number for each of reference.statistics.STATISTICS.
        model_sha256: of the .tflite file.
    """

    id: str
    prediction: Mapping[str, Any]
    sketch: Sequence[float]
    statistics: Sequence[float]
    model_sha256: str


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
            except Exception:  # noqa: BLE001 - whatever it raises, the thread lives on for the next records
                self.dropped += len(records)
                _log.exception("predictions not logged", extra={"fields": {"records": len(records)}})
