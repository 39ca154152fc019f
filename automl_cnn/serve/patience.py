"""HTTP connections whose clients may not keep the server waiting for a request's head, nor send one without end."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits for a head for ever and has no bound for it.

    From the first connection, and from the first byte after an answer, the next head has `patience_s` to arrive. The
    rest of a body whose request was refused has as long: it is read and dropped, so that the client sees the answer.
    """

    def __init__(self, patience_s: float, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._patience_s = patience_s
        self._patience: asyncio.TimerHandle | None = None
        self._head_open, self._head_bytes = False, 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._patience is None and self._is_idle():
            self._await_head()
        super().data_received(data)
        if self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._head_open, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_open = False
        self._head_came()
        super().on_headers_complete()

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
        if not self.transport.is_closing() and self._is_idle():
            self.transport.write(answer)
            self.transport.close()
