"""HTTP connections whose clients may not keep the server waiting for a request's head, nor send one without end."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536
_CHUNK_BYTES = 16  # the length before a chunk of a body and the line breaks around it
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits for a head for ever and has no bound for it.

    From the first connection, and from the first byte after an answer, the next head has `patience_s` to arrive. The
    rest of a body whose request was refused has as long: it is read and dropped, so that the client sees the answer.
    What is no body may have HEAD_BYTES a request: its head, fields behind a body in chunks, extensions of chunks.
    """

    def __init__(self, patience_s: float, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._patience_s = patience_s
        self._patience: asyncio.TimerHandle | None = None
        self._head_bytes, self._body_bytes, self._began = 0, 0, False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._patience is None and self._is_idle():
            self._await_head()
        self._body_bytes, self._began = 0, False
        super().data_received(data)
        # of the piece in which a request begins it is not known how much was the one before
        self._head_bytes = 0 if self._began else self._head_bytes + max(len(data) - self._body_bytes, 0)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._began = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Called by the parser; so short a line is counted as body."""
        self._body_bytes += _CHUNK_BYTES

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        self._patience = self.loop.call_later(self._patience_s, self._refuse, _TOO_SLOW)

    def _head_came(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, answer: bytes) -> None:
        self._patience = None
        if self.transport.is_closing():
            return
        if not self._is_idle():  # an answer is under way on this connection
            self.transport.abort()
            return
        self.transport.write(answer)
        self.transport.close()
