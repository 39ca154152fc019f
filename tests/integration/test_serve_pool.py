"""Workers that die, hang or never start: no image waits for ever, and none is answered with another's answer."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from automl_cnn.errors import AutoMLError, ModelFileError
from automl_cnn.serve.body import SentImage
from automl_cnn.serve.limits import Refusal
from automl_cnn.serve.pool import Answer, WorkerPool

# It speaks as automl_cnn.serve.worker does, and does what the image says.
WORKER = """
import json, os, struct, sys, time
def send(answer):
    text = json.dumps(answer).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(text)) + text)
    sys.stdout.buffer.flush()
send({"ready": True})
while head := sys.stdin.buffer.read(8):
    name, content = (sys.stdin.buffer.read(length) for length in struct.unpack(">II", head))
    if content == b"die": os._exit(11)
    if content == b"hang": time.sleep(60)
    if content == b"babble": os.write(1, b"\\0\\0\\0\\3xyz")
    if content.startswith(b"slow"): time.sleep(0.1)
    send({"prediction": {"path": name.decode(), "label": content[:9].decode()}})
"""


def with_pool(use: Callable[[WorkerPool], Awaitable[Any]], command: str = WORKER, **given: Any) -> Any:
    """Start a pool, use it, stop it."""
    settings = {"workers": 2, "max_queue": 100, "timeout_s": 20.0} | given

    async def run() -> Any:
        pool = WorkerPool((sys.executable, "-c", command), **settings)
        await pool.start()
        try:
            return await use(pool)
        finally:
            await pool.stop()

    return asyncio.run(run())


def images(*contents: str) -> list[SentImage]:
    return [SentImage(f"{number}.png", content.encode()) for number, content in enumerate(contents)]


def labels(answers: list[Answer]) -> list[str]:
    return [
        answer["prediction"]["label"] if "prediction" in answer else answer["error"]["reason"] for answer in answers
    ]


def test_answers_come_in_the_order_of_the_images_however_long_each_takes() -> None:
    given = ["slow-1", "b", "c", "slow-2", "e", "f"]
    answers = with_pool(lambda pool: pool.label(images(*given)))
    assert labels(answers) == given
    assert [answer["prediction"]["path"] for answer in answers] == [f"{number}.png" for number in range(6)]


def test_requests_at_once_get_their_own_answers() -> None:
    async def ask(pool: WorkerPool) -> list[list[Answer]]:
        return await asyncio.gather(*(pool.label(images(f"n{number}", "slow")) for number in range(20)))

    assert [labels(answers)[0] for answers in with_pool(ask)] == [f"n{number}" for number in range(20)]


@pytest.mark.parametrize("poison", ["die", "babble"])
def test_an_image_that_ends_workers_is_refused_and_the_others_are_answered(poison: str) -> None:
    async def ask(pool: WorkerPool) -> tuple[list[Answer], list[Answer], int]:
        first = await pool.label(images("a", poison, "b"))
        return first, await pool.label(images("c", "d")), pool.counts.lost

    first, second, lost = with_pool(ask)
    assert labels(first) == ["a", "crash", "b"]
    assert labels(second) == ["c", "d"]
    assert lost == 2


def test_an_image_that_hangs_is_refused_in_time_and_its_worker_replaced() -> None:
    async def ask(pool: WorkerPool) -> list[Answer]:
        with pytest.raises(Refusal) as caught:
            await pool.label(images("hang"))
        assert (caught.value.status, caught.value.reason) == (504, "timeout")
        return await pool.label(images("a"))

    assert labels(with_pool(ask, workers=1, timeout_s=1.0)) == ["a"]


def test_one_image_that_hangs_costs_a_batch_itself_alone() -> None:
    async def ask(pool: WorkerPool) -> list[Answer]:
        return await pool.label(images("a", "hang", "b", "c"))

    assert labels(with_pool(ask, timeout_s=1.0)) == ["a", "timeout", "b", "c"]


def test_nobody_works_on_images_whose_request_has_been_given_up() -> None:
    async def ask(pool: WorkerPool) -> int:
        waiting = asyncio.create_task(pool.label(images(*["slow"] * 50)))
        await asyncio.sleep(0.2)
        waiting.cancel()
        await asyncio.wait_for(pool.label(images("a")), 2)  # the fifty would have taken five seconds
        return pool.waiting

    assert with_pool(ask, workers=1) == 0


def test_a_full_queue_refuses_with_a_time_to_come_again() -> None:
    async def ask(pool: WorkerPool) -> Refusal:
        waiting = asyncio.create_task(pool.label(images(*["slow"] * 6)))
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal) as caught:
            await pool.label(images("a"))
        assert labels(await waiting) == ["slow"] * 6
        assert labels(await pool.label(images("a"))) == ["a"]
        return caught.value

    refusal = with_pool(ask, workers=1, max_queue=3)
    assert (refusal.status, refusal.reason) == (429, "overloaded")
    assert int(refusal.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("command", ["raise SystemExit(1)", "print('no protocol')"])
def test_workers_that_do_not_start_are_the_models_fault_at_once(command: str) -> None:
    with pytest.raises(ModelFileError, match="worker that loads the model"):
        with_pool(lambda pool: pool.label(images("a")), command)


def test_more_workers_than_the_system_lets_start_are_refused_in_words() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 20, hard))
    try:
        with pytest.raises(AutoMLError, match=r"30 workers: expected .* received Too many open files\. Give fewer"):
            with_pool(lambda pool: pool.label(images("a")), workers=30)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
