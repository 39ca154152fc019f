"""A real `automl-cnn serve` in a process of its own, and the requests that a client sends it."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

START_TIMEOUT_S = 60.0
COMMAND = [sys.executable, "-c", "from automl_cnn.cli import main; main()"]


@dataclass
class Reply:
    """What came back.

    Attributes:
        status: of HTTP.
        headers: in lower case.
        body: the raw answer.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running server.

    Attributes:
        process: the server itself; its children are the workers.
        lines: what it has logged so far, parsed.
    """

    def __init__(self, model: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "serve", str(model), "--port", "0", *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines: list[dict[str, Any]] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._listening.wait(START_TIMEOUT_S), self.lines
        address = urlsplit(self.events("listening")[0]["url"])
        self.host, self.port = str(address.hostname), int(address.port or 0)

    def post(self, path: str, body: bytes, content_type: str | None = None, **headers: str) -> Reply:
        """Send one request over a connection of its own."""
        if content_type is not None:
            headers["Content-Type"] = content_type
        return self._ask("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def post_json(self, path: str, content: Any) -> Reply:
        return self.post(path, json.dumps(content).encode(), "application/json")

    def post_files(self, path: str, files: list[tuple[str, bytes]]) -> Reply:
        """Send files as a browser's form does."""
        mark = "a-boundary-that-no-image-holds"
        body = b""
        for name, file in files:
            head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
            body += head.encode() + file + b"\r\n"
        return self.post(path, body + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}")

    def get(self, path: str) -> Reply:
        return self._ask("GET", path, None, {})

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of one kind that it has logged."""
        return [line for line in self.lines if line.get("event") == name]

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def stop(self, sent: signal.Signals = signal.SIGTERM, timeout_s: float = 30) -> int:
        """Signal it and wait; its exit code."""
        self.process.send_signal(sent)
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line) if line.startswith("{") else {"text": line})
            if self.lines[-1].get("event") == "listening":
                self._listening.set()
        self._listening.set()


@contextmanager
def running(model: Path, *options: str) -> Iterator[Server]:
    """A server for as long as the block runs; killed at its end where it still lives."""
    server = Server(model, *options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
