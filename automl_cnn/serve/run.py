"""`automl-cnn serve`: from a model file to a server, and from SIGTERM to its end."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

import automl_cnn
from automl_cnn.errors import AutoMLError
from automl_cnn.monitor.log import PredictionLog
from automl_cnn.serve.app import Service, build_app
from automl_cnn.serve.journal import start_journal
from automl_cnn.serve.limits import Limits
from automl_cnn.serve.patience import PatientProtocol
from automl_cnn.serve.pool import WorkerPool
from automl_cnn.serve.record import Recorder
from automl_cnn.serve.snapshot import ServedModel, take_snapshot

KEEP_ALIVE_S = 30
BACKLOG = 2048  # connections that may wait to be accepted
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_log = logging.getLogger(__name__)


def serve_model(model: Path, host: str, port: int, workers: int, limits: Limits, log: Path | None = None) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then take no new ones, answer those that came, and return.

    Args:
        model: a .tflite file or an export folder.
        host: the address to listen on.
        port: 0 for any that is free; the first line of the log tells which.
        workers: processes that label images.
        limits: of one request.
        log: folder in which every prediction is kept, for `automl-cnn monitor`.
    Raises:
        ModelFileError: the model is missing or damaged.
        AutoMLError: the port is taken, or the log's folder cannot be written to.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # before there is a request: leave, and clean up
    with tempfile.TemporaryDirectory(prefix="automl-cnn-serve-") as folder, _locked(Path(folder)):
        served = take_snapshot(model, Path(folder))
        with _bound(host, port) as listener:
            kept = _opened(log) if log is not None else None
            start_journal()
            asyncio.run(_serve(served, listener, workers, limits, kept))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Kept from what tidies up temporary files (systemd-tmpfiles heeds locks): workers start from here weeks later."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


async def _serve(
    model: ServedModel, listener: socket.socket, workers: int, limits: Limits, log: PredictionLog | None
) -> None:
    command = (
        sys.executable, "-P", "-m", "automl_cnn.serve.worker", str(model.path), str(limits.max_pixels),
        "logged" if log else "",
    )  # fmt: skip
    pool = WorkerPool(command, workers, limits.max_queue, limits.timeout_s, _environment())
    await pool.start()
    recorder = Recorder(log, model.sha256) if log is not None else None
    try:
        await _listen(build_app(Service(model, pool, limits, recorder)), listener, model, workers, limits)
    finally:
        await pool.stop()
        if recorder is not None:
            recorder.close()
    _log.info("stopped")


async def _listen(app: ASGIApp, listener: socket.socket, model: ServedModel, workers: int, limits: Limits) -> None:
    patient: Any = partial(PatientProtocol, limits.client_timeout_s)  # uvicorn only calls it
    config = uvicorn.Config(
        app, http=patient, ws="none", lifespan="off", log_config=None, log_level="warning", access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(limits.timeout_s + limits.client_timeout_s) + 1,
    )  # fmt: skip
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises the signal once more when it has ended, for whoever handled it before: that is this, so that a
    # graceful end is no error.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    fields = {"url": url, "model": model.name, "sha256": model.sha256, "workers": workers}
    listener.listen(BACKLOG)
    _log.info("listening", extra={"fields": fields})
    if host not in LOOPBACK:
        _log.warning("open to the network without encryption or passwords: put a proxy before it that has both")
    await server.serve(sockets=[listener])


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has the port, and does not listen yet: who comes before the workers are ready is refused."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:  # a name with an empty part is no OSError
        raise AutoMLError(
            f"{host}:{port}", expected="an address of this machine and a free port",
            received=getattr(error, "strerror", None) or str(error), action="Give others with --host and --port.",
        ) from None  # fmt: skip
    return listener


def _opened(log: Path) -> PredictionLog:
    try:
        return PredictionLog(log)
    except OSError as error:
        raise AutoMLError(
            str(log), expected="a folder that can be written to", received=error.strerror or str(error),
            action="Give another with --log.",
        ) from None  # fmt: skip


def _environment() -> dict[str, str]:
    """The workers' environment: this package found where it was found here, whatever the working directory holds."""
    package = str(Path(automl_cnn.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))}
