"""Clients that ask one server as fast as it answers, in a process of their own; prints one JSON object.

Run by serve.py: python benchmarks/serve_load.py URL FORM IMAGES CLIENTS SECONDS
FORM is raw (the image file as the body) or mlflow (base64 in a table). Each client keeps one connection and sends the
next request when the last is answered. Of answers, the first tenth of the time is not counted; of requests, all are.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

WARM_UP = 0.1
TIMEOUT_S = 120.0


@dataclass
class Tally:
    """What became of the requests.

    Attributes:
        seconds: of each request that was answered with 200 in the time that counts.
        statuses: of all requests, answers by status; an exception's name where there was none.
        no_retry_after: answers 429 that did not say when to come again.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    no_retry_after: int = 0


def main(url: str, form: str, images: str, clients: str, seconds: str) -> None:
    bodies = [_body(path.read_bytes(), form) for path in sorted(Path(images).iterdir())]
    print(json.dumps(asyncio.run(_load(url, form, bodies, int(clients), float(seconds)))))


def _body(content: bytes, form: str) -> bytes:
    if form == "raw":
        return content
    table = {"columns": ["image"], "data": [[base64.b64encode(content).decode()]]}
    return json.dumps({"dataframe_split": table}).encode()


async def _load(url: str, form: str, bodies: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    tally, started = Tally(), time.perf_counter()
    counted_from, end = started + WARM_UP * seconds, started + seconds
    headers = {"Content-Type": "application/octet-stream" if form == "raw" else "application/json"}
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:

        async def ask_on(first: int) -> None:
            number = first
            while (sent := time.perf_counter()) < end:
                status, said_when = await _ask(session, url, bodies[number % len(bodies)])
                answered = time.perf_counter()
                number += 1
                tally.statuses[status] += 1
                tally.no_retry_after += status == "429" and not said_when
                if status == "200" and counted_from <= answered <= end:
                    tally.seconds.append(answered - sent)

        await asyncio.gather(*(ask_on(first) for first in range(clients)))
    return {
        "elapsed_s": end - counted_from, "seconds": tally.seconds, "statuses": tally.statuses,
        "no_retry_after": tally.no_retry_after,
    }  # fmt: skip


async def _ask(session: aiohttp.ClientSession, url: str, body: bytes) -> tuple[str, bool]:
    """The status, and whether the answer said when to come again."""
    try:
        async with session.post(url, data=body) as answer:
            await answer.read()
            return str(answer.status), "Retry-After" in answer.headers
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__, False


if __name__ == "__main__":
    main(*sys.argv[1:])
