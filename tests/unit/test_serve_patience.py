"""No connection makes the server keep more than a head's bytes that are no body, whatever they stand for."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from automl_cnn.serve.patience import HEAD_BYTES, PatientProtocol

POST = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
LINE = b"X-Padding: " + b"a" * 2_000 + b"\r\n"


async def echo_length(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the length of the body; with GET only after a minute."""
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    if scope["method"] == "GET":
        await asyncio.sleep(60)
    text = str(length).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


def sent(first: bytes, then: bytes, times: int) -> tuple[bytes, bool]:
    """Send to a server of one process: what it answers, and whether it took everything."""

    async def run() -> tuple[bytes, bool]:
        config = uvicorn.Config(echo_length, ws="none", lifespan="off", log_config=None)
        protocol = partial(PatientProtocol, 30.0, config=config, server_state=ServerState(), app_state={})
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        took_all = True
        try:
            writer.write(first)
            for _ in range(times):
                writer.write(then)
                await asyncio.wait_for(writer.drain(), 5)
                await asyncio.sleep(0)
        except (OSError, TimeoutError):
            took_all = False
        try:
            answer = await asyncio.wait_for(reader.read(4096), 1)
        except (OSError, TimeoutError):
            answer = b""
        writer.transport.abort()
        server.close()
        return answer, took_all

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n", LINE),
        (POST + b"1\r\nx\r\n0\r\n", LINE),
        (POST + b"1;", b"a" * 2_000),
    ],
    ids=["the next head, while an answer is under way", "fields behind the body", "an extension of a chunk"],
)
def test_a_request_in_flight_cannot_bring_fields_without_end(first: bytes, then: bytes) -> None:
    assert sent(first, then, 20_000) == (b"", False)  # 40 MB


def test_a_body_in_many_small_chunks_is_no_head() -> None:
    chunks = 3 * HEAD_BYTES // 6  # of one byte each, with five around it
    answer, took_all = sent(POST, b"1\r\nx\r\n" * 100, chunks // 100)
    assert (answer, took_all) == (b"", True)
    answer, took_all = sent(POST + b"1\r\nx\r\n" * chunks, b"0\r\n\r\n", 1)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n" + str(chunks).encode())
