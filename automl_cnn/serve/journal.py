"""One JSON object a line on stderr: what was asked and what became of it. No image, and no name of a file."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from automl_cnn.serve.metrics import Metrics

REQUEST_ID = "x-request-id"
UNKNOWN_PATH = "other"
PROBES = ("/health", "/health/live", "/metrics")  # asked every few seconds; logged only when they fail
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """Every record of every logger as one line; `extra={"fields": …}` adds keys."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def start_journal() -> None:
    """Let every logger of this process write JSON lines on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class Journal:
    """Gives each request an id, and writes down and counts what became of it.

    Args:
        app: answers the requests; it may add keys to scope["state"]["notes"], which the line then has.
        metrics: counts them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        notes: dict[str, Any] = {}
        request_id = _request_id(scope)
        scope.setdefault("state", {}).update(request_id=request_id, notes=notes)
        started, status = time.perf_counter(), 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except Exception:
            _log.exception("server error", extra={"fields": {"request_id": request_id}})
            if status == 0:
                raise
        finally:
            path = getattr(scope.get("route"), "path", UNKNOWN_PATH)
            method = scope["method"] if scope["method"] in METHODS else UNKNOWN_PATH
            seconds = time.perf_counter() - started
            self._metrics.count_request(method, path, status, seconds)
            if "reason" in notes:
                self._metrics.count_refused(notes["reason"])
            if not (path in PROBES and status == 200):
                _note(request_id, method, path, status, seconds, notes)


def _note(request_id: str, method: str, path: str, status: int, seconds: float, notes: Mapping[str, Any]) -> None:
    fields = {
        "request_id": request_id, "method": method, "path": path, "status": status, "seconds": round(seconds, 4),
        **notes,
    }  # fmt: skip
    _log.info("request", extra={"fields": fields})


def _request_id(scope: Scope) -> str:
    """The client's own id where it is a plain one, so that logs of several services can be joined."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID.encode() and _ID.fullmatch(value.decode("latin-1")):
            return str(value.decode("latin-1"))
    return secrets.token_hex(8)
