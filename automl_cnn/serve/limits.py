"""What one request may ask for, and how a request that asks for more is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from automl_cnn.errors import AutoMLError

MEBIBYTE = 2**20
HELD_BYTES = 256 * MEBIBYTE
STRETCH_S, STRETCH_BYTES = 2.0, 32 * 2**10  # of a body that is being received: 16 KiB a second
PARTS = ("where", "expected", "received", "action")  # of an AutoMLError


@dataclass(frozen=True)
class Limits:
    """The bounds that keep one client from taking the server from all others.

    Attributes:
        max_bytes: of a request's body.
        max_pixels: width × height of an image; the model's own limit where that is lower.
        max_images: in one request.
        max_queue: images that may wait for a worker; a request that comes while so many wait is refused.
        timeout_s: from a body's last byte to its answer.
        client_timeout_s: for a client to send a request's head, and again for its body.
    """

    max_bytes: int = 16 * MEBIBYTE
    max_pixels: int = 50_000_000
    max_images: int = 64
    max_queue: int = 64
    timeout_s: float = 30.0
    client_timeout_s: float = 20.0

    @property
    def max_held_bytes(self) -> int:
        """Of the bodies of all requests together, received and not yet answered: room for two at least."""
        return max(HELD_BYTES, 2 * self.max_bytes)


class Refusal(Exception):  # noqa: N818  an answer like others
    """A request, or one image of it, that is answered with an error.

    Args:
        status: of HTTP, 400…599.
        reason: one word for programs, such as truncated, too_large or overloaded.
        problem: what was expected, what came, what to do next.
        headers: that the answer bears beside its own.
    """

    def __init__(
        self, status: int, reason: str, problem: AutoMLError, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, reason, str(problem))
        self.status, self.reason, self.problem, self.headers = status, reason, problem, dict(headers or {})

    def as_json(self) -> dict[str, Any]:
        """What stands under `error` in the answer."""
        return describe(self.reason, self.problem)


def describe(reason: str, problem: AutoMLError) -> dict[str, Any]:
    """An error as the answer bears it: its three parts, and all of them as one sentence."""
    return {"reason": reason, **{part: getattr(problem, part) for part in PARTS}, "message": str(problem)}


def overloaded(received: str, retry_after_s: int) -> Refusal:
    """429 with Retry-After.

    Args:
        received: how much there is to do already, in words.
        retry_after_s: when to come again.
    """
    problem = AutoMLError(
        "server", expected="room for another image", received=received,
        action=f"Send the request again after {retry_after_s} s.",
    )  # fmt: skip
    return Refusal(429, "overloaded", problem, {"Retry-After": str(retry_after_s)})


class HeldBytes:
    """How much of all requests' bodies lies in memory.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self.bytes = limit, 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """The part of one request, given back when the block ends."""
        share = Share(self)
        try:
            yield share
        finally:
            self.bytes -= share.bytes

    def take(self, count: int) -> None:
        """Count some more bytes.

        Raises:
            Refusal: 429, there is no room for them.
        """
        if self.bytes + count > self._limit:
            raise overloaded(f"{self.bytes / MEBIBYTE:.0f} MiB of unanswered requests", retry_after_s=1)
        self.bytes += count


class Share:
    """What one request holds of HeldBytes."""

    def __init__(self, whole: HeldBytes) -> None:
        self._whole, self.bytes = whole, 0

    def take(self, count: int) -> None:
        """Count bytes that have come.

        Raises:
            Refusal: 429.
        """
        self._whole.take(count)
        self.bytes += count
