"""Predictions on their way into the log of predictions, beside the requests and never in their way."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence

import numpy as np

from automl_cnn.monitor.log import PredictionLog
from automl_cnn.monitor.record import LogRecord
from automl_cnn.serve.logged import log_record
from automl_cnn.serve.pool import Answer
from automl_cnn.serve.predict import Examined, Prediction

WAITING = 10_000  # records, a kilobyte each
AT_ONCE = 500
CLOSE_TIMEOUT_S = 30.0

_log = logging.getLogger(__name__)


class Recorder:
    """Hands records to a thread that appends them; drops and counts those for which it has no time.

    Args:
        log: what it cannot keep is told in the server's own log.
        model_sha256: of the model that answers.
    Attributes:
        dropped: predictions that were not kept.
    """

    def __init__(self, log: PredictionLog, model_sha256: str) -> None:
        self._log, self._model_sha256 = log, model_sha256
        self._waiting: queue.Queue[LogRecord | None] = queue.Queue(WAITING)
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def record(self, request_id: str, answers: Sequence[Answer]) -> None:
        """Take the answers of one request; returns at once.

        Args:
            request_id: the image's id in the log; with /0, /1, … behind it where there are several images.
            answers: as the workers gave them; those without a prediction are passed over.
        """
        for number, answer in enumerate(answers):
            if "prediction" in answer:
                image_id = request_id if len(answers) == 1 else f"{request_id}/{number}"
                try:
                    self._waiting.put_nowait(log_record(_examined(answer), image_id, self._model_sha256))
                except queue.Full:
                    self.dropped += 1

    def close(self) -> None:
        """Return when all is kept that was recorded, or half a minute has passed."""
        until = time.monotonic() + CLOSE_TIMEOUT_S
        try:
            self._waiting.put(None, timeout=CLOSE_TIMEOUT_S)
        except queue.Full:  # the log's disk hangs: the daemon thread ends with the process
            _log.error("predictions not logged", extra={"fields": {"records": self._waiting.qsize()}})
            return
        self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        ended = False
        while not ended:
            taken = [self._waiting.get()]
            while len(taken) < AT_ONCE and not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            ended = None in taken
            self._append([record for record in taken if record is not None])
        self._log.close()

    def _append(self, records: Sequence[LogRecord]) -> None:
        try:
            self._log.append(records)
        except Exception:  # noqa: BLE001 - whatever it raises, the thread lives on for the next records
            self.dropped += len(records)
            _log.exception("predictions not logged", extra={"fields": {"records": len(records)}})


def _examined(answer: Answer) -> Examined:
    """The worker's words as what they were made of."""
    return Examined(Prediction(**answer["prediction"]), np.array(answer["sketch"], np.float32), answer["statistics"])
