"""Workers, the queue before them, and what becomes of a worker that dies or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl_cnn.errors import AutoMLError, ModelFileError
from automl_cnn.serve.body import SentImage
from automl_cnn.serve.limits import PARTS, Refusal, describe, overloaded
from automl_cnn.serve.worker import ANSWER, QUESTION

START_TIMEOUT_S = 60.0
START_AGAIN_S = 1.0  # after a start that failed, so that a full disk or memory is not hammered
TRIES = 2  # an image that was in work when a worker died is given to one more
LARGEST_WAIT_S = 60
PIPE_BYTES = 2**20  # a photo in one or a few pieces: each piece waits for a turn of the event loop
NEWEST_WEIGHT = 0.1  # of the newest image in the mean time of one

_log = logging.getLogger(__name__)

Answer = dict[str, Any]  # {"prediction": …} or {"error": …}, as the worker sent it


class WorkerLost(Exception):  # noqa: N818  an event, not a mistake
    """A worker ended before it had answered."""


@dataclass
class _Job:
    image: SentImage
    answer: asyncio.Future[Answer]
    tries: int = 0


@dataclass
class PoolCounts:
    """What the pool has to tell of itself.

    Attributes:
        ready: workers that wait for an image or work on one.
        lost: workers that died or were ended because they hung, since the start.
        mean_s: seconds that one image takes one worker, of the newest above all.
    """

    ready: int = 0
    lost: int = 0
    mean_s: float = 0.05


class WorkerPool:
    """Processes that each label one image at a time, fed from one bounded queue.

    Args:
        command: starts a worker, which speaks as automl_cnn.serve.worker does.
        workers: how many of them.
        max_queue: images that may wait.
        timeout_s: for one image's work, and for a request from its last byte to its answer.
        environment: of the workers; the server's own where None.
    """

    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        max_queue: int,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._workers, self._environment = tuple(command), workers, environment
        self._max_queue, self._timeout_s = max_queue, timeout_s
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()  # bounded by `require_room`, whole requests at a time
        self._tasks: list[asyncio.Task[None]] = []
        self.counts = PoolCounts()

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return self._jobs.qsize()

    async def start(self) -> None:
        """Return when every worker has loaded the model.

        Raises:
            ModelFileError: a worker could not load it.
            AutoMLError: the system does not let so many processes start.
        """
        started = await asyncio.gather(*(self._start_worker() for _ in range(self._workers)), return_exceptions=True)
        workers = [worker for worker in started if isinstance(worker, _Worker)]
        for problem in started:
            if isinstance(problem, BaseException):
                for worker in workers:
                    await worker.end()
                raise self._too_many(problem) if isinstance(problem, OSError) else problem
        self._tasks = [asyncio.create_task(self._keep_at_work(worker)) for worker in workers]

    async def stop(self) -> None:
        """End the workers. What waits is given up: call it when every request has its answer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def require_room(self) -> None:
        """Pass where the queue has room; a request may still bring several images.

        Raises:
            Refusal: 429 with Retry-After.
        """
        if self.waiting >= self._max_queue:
            seconds = math.ceil(self.waiting * self.counts.mean_s / self._workers)
            raise overloaded(f"{self.waiting} images that wait", min(max(seconds, 1), LARGEST_WAIT_S))

    async def label(self, images: Sequence[SentImage]) -> list[Answer]:
        """Label a request's images.

        Returns:
            An answer each, in their order; an error where it is not there in time.
        Raises:
            Refusal: 429, the queue is full; 504, no answer is there in time.
        """
        self.require_room()
        loop = asyncio.get_running_loop()
        jobs = [_Job(image, loop.create_future()) for image in images]
        for job in jobs:
            self._jobs.put_nowait(job)
        try:
            await asyncio.wait([job.answer for job in jobs], timeout=self._timeout_s)
            answers = [job.answer.result() if job.answer.done() else self._late(job) for job in jobs]
        finally:
            for job in jobs:
                job.answer.cancel()  # nobody waits any more: workers pass over it
        if all(answer.get("error", {}).get("reason") == "timeout" for answer in answers):
            raise Refusal(504, "timeout", _too_slow("server", self._timeout_s))
        return answers

    async def _keep_at_work(self, worker: _Worker | None) -> None:
        """Give one worker jobs, and put another in its place when it is lost."""
        while True:
            if worker is None:
                worker = await self._start_again()
            try:
                self.counts.ready += 1
                await self._work(worker)
            except WorkerLost:
                self.counts.lost += 1
                _log.error("worker lost", extra={"fields": {"worker": worker.pid, "lost": self.counts.lost}})
            finally:
                self.counts.ready -= 1
                await worker.end()
            worker = None

    async def _work(self, worker: _Worker) -> None:
        """Give it one job after the other.

        Raises:
            WorkerLost: it is of no use any more; the job it had goes back to the queue or has its answer.
        """
        gone = asyncio.create_task(worker.gone())
        try:
            while True:
                job = await self._next_job(gone)
                if job.answer.done():
                    continue
                started = time.monotonic()
                try:
                    async with asyncio.timeout(self._timeout_s):
                        answer = await worker.ask(job.image)
                except TimeoutError:
                    _give(job, self._late(job))
                    raise WorkerLost from None
                except WorkerLost:
                    self._try_again(job)
                    raise
                _give(job, answer)
                self.counts.mean_s += NEWEST_WEIGHT * (time.monotonic() - started - self.counts.mean_s)
        finally:
            gone.cancel()

    async def _next_job(self, gone: asyncio.Task[None]) -> _Job:
        """Wait for a job, but not in a worker that dies meanwhile.

        Raises:
            WorkerLost: it did.
        """
        if not self._jobs.empty() and not gone.done():
            return self._jobs.get_nowait()
        coming = asyncio.create_task(self._jobs.get())
        try:
            await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not coming.done():
                coming.cancel()
        if gone.done():
            if coming.done() and not coming.cancelled():
                self._jobs.put_nowait(coming.result())
            raise WorkerLost
        return coming.result()

    def _late(self, job: _Job) -> Answer:
        return {"error": describe("timeout", _too_slow(job.image.name, self._timeout_s))}

    def _try_again(self, job: _Job) -> None:
        """Once more: memory may have run out for another's sake. A second time it is the image."""
        job.tries += 1
        if job.tries < TRIES:
            self._jobs.put_nowait(job)
            return
        problem = AutoMLError(
            job.image.name, expected="an image that can be decoded", received=f"one at which {TRIES} workers died",
            action="Save it again as JPEG or PNG, and keep this file for a report.",
        )  # fmt: skip
        _give(job, {"error": describe("crash", problem)})

    def _too_many(self, problem: OSError) -> AutoMLError:
        return AutoMLError(
            f"{self._workers} workers", expected="as many processes as the system lets start",
            received=problem.strerror or str(problem), action="Give fewer with --workers, or raise `ulimit -n`.",
        )  # fmt: skip

    async def _start_again(self) -> _Worker:
        while True:
            try:
                return await self._start_worker()
            except (AutoMLError, OSError) as error:
                _log.error("worker does not start", extra={"fields": {"problem": str(error)}})
                await asyncio.sleep(START_AGAIN_S)

    async def _start_worker(self) -> _Worker:
        pipe = asyncio.subprocess.PIPE
        worker = _Worker(
            await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, env=self._environment)
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                first = await worker.listen()
        except (TimeoutError, WorkerLost):
            first = {}
        if "ready" in first:
            return worker
        await worker.end()
        ended = AutoMLError(
            "worker", expected="a worker that loads the model", received="one that ended",
            action="Its own message stands above.",
        )  # fmt: skip
        told = first.get("error") or describe("model", ended)
        raise ModelFileError(**{part: told[part] for part in PARTS})


class _Worker:
    """One process and the two pipes to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._questions, self._answers = process, process.stdin, process.stdout
        self.pid = process.pid
        with contextlib.suppress(OSError, AttributeError):  # as large as Linux lets it be; elsewhere as it is
            fcntl.fcntl(process.stdin.transport.get_extra_info("pipe"), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    async def ask(self, image: SentImage) -> Answer:
        """Raises WorkerLost when it dies before it has answered."""
        name = image.name.encode("utf-8", "replace")
        try:
            self._questions.writelines([QUESTION.pack(len(name), len(image.content)), name, image.content])
            await self._questions.drain()
        except OSError:
            raise WorkerLost from None
        return await self.listen()

    async def listen(self) -> Answer:
        """The next answer. Raises WorkerLost when it dies first, or says what cannot be understood."""
        try:
            [length] = ANSWER.unpack(await self._answers.readexactly(ANSWER.size))
            answer: Answer = json.loads(await self._answers.readexactly(length))
        except (asyncio.IncompleteReadError, OSError, ValueError):
            raise WorkerLost from None
        return answer

    async def gone(self) -> None:
        """Return when the process has ended."""
        await self._process.wait()

    async def end(self) -> None:
        """End it whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def _give(job: _Job, answer: Answer) -> None:
    if not job.answer.done():
        job.answer.set_result(answer)


def _too_slow(where: str, timeout_s: float) -> AutoMLError:
    return AutoMLError(
        where, expected=f"an answer within {timeout_s:g} s", received="none",
        action="Send fewer or smaller images at once, or start the server with a longer --timeout.",
    )  # fmt: skip
