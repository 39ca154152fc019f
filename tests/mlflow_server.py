"""Real servers for tests of the record: `mlflow server` on 127.0.0.1, PostgreSQL under it, a line that can be cut."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """`mlflow server`, which may be stopped and started again on the same port with the same data.

    Args:
        folder: for its files and its log.
        database: backend URI.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder, self._database = folder, database
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 180) -> None:
        """Start it and wait until it answers."""
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", self._database, "--artifacts-destination", str(self._folder / "files"),
        ]  # fmt: skip
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")} | quiet
        log = self._folder / "server.log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=file, stderr=file, start_new_session=True
            )
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"mlflow server does not answer:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """Debian's PostgreSQL in a temporary folder, on 127.0.0.1, as a user who is not root; gives its URI."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    user = "postgres" if os.getuid() == 0 else None
    folder, port = Path(tempfile.mkdtemp(prefix="automl-cnn-postgresql-")), free_port()
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        options = ("-U", "mlflow", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C")
        made = subprocess.run(
            [binaries / "initdb", "-D", data, *options],
            user=user, capture_output=True, text=True, check=False, cwd=folder,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"],
                user=user, stdout=log, stderr=log, cwd=folder,
            )  # fmt: skip
        try:
            _wait_for(port, server, folder / "log")
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Line:
    """A forwarder before a server that loses the answer to every change once: the server acts, and nobody is told.

    Args:
        port: of the server on 127.0.0.1.
    Attributes:
        uri: what clients are given.
        lost: how many answers got lost. After each nothing passes until `mend` is called.
    """

    def __init__(self, port: int) -> None:
        self.lost = 0
        self._met: set[tuple[str, bytes]] = set()
        self._broken, self._lock, self._target = False, threading.Lock(), port
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def mend(self) -> None:
        """Let requests pass again."""
        with self._lock:
            self._broken = False

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _passes(self, method: str, path: str, body: bytes) -> tuple[bool, bool]:
        """Whether this request reaches the server, and whether its answer comes back."""
        with self._lock:
            if self._broken:
                return False, False
            looks = method == "GET" or path.endswith("/search") or "/mlflow-artifacts/" in path
            change = path, re.sub(rb"\d{13}", b"", body)  # the same at another time
            if looks or change in self._met:
                return True, True
            self._met.add(change)
            self._broken, self.lost = True, self.lost + 1
            return True, False

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        line = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.read_body()
                reaches, returns = line._passes(self.command, self.path, body)
                self.close_connection = True
                if not reaches:
                    return
                server = http.client.HTTPConnection("127.0.0.1", line._target, timeout=60)
                dropped = ("host", "content-length", "transfer-encoding")
                headers = {key: value for key, value in self.headers.items() if key.lower() not in dropped}
                server.request(self.command, self.path, body, {**headers, "Host": f"127.0.0.1:{line._target}"})
                answer = server.getresponse()
                content = answer.read()
                if returns:
                    self.send_response(answer.status)
                    for key, value in answer.getheaders():
                        if key.lower() not in ("transfer-encoding", "connection", "content-length"):
                            self.send_header(key, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                server.close()

            def read_body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []  # requests sends an empty file so
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        return Handler


def _binaries() -> Path | None:
    """The folder of initdb and postgres; Debian keeps them out of PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL does not answer:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
