"""What a request may be: every body gives its images back or is refused with a reason, whatever is in it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from automl_cnn.serve.body import SentImage, json_images, read_images
from automl_cnn.serve.journal import JsonLines
from automl_cnn.serve.limits import HeldBytes, Limits, Refusal

LIMITS = Limits(max_bytes=10_000, max_images=4)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n'), min_size=1, max_size=30)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(["image", "images", "name", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def received(body: bytes, content_type: str | None, limits: Limits = LIMITS, **headers: str) -> list[SentImage]:
    """What `read_images` makes of a request whose body comes in pieces."""
    if content_type is not None:
        headers["content-type"] = content_type
    pieces = [body[start : start + 777] for start in range(0, len(body), 777)] or [b""]
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "method": "POST", "path": "/predict", "headers": raw}, receive)
    with HeldBytes(limits.max_held_bytes).share() as share:
        return asyncio.run(read_images(request, limits, share))


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=9_000))
def test_a_raw_body_is_the_image(content: bytes) -> None:
    assert received(content, "image/png") == received(content, None) == [SentImage("image", content)]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=1_000)), min_size=1, max_size=4))
def test_a_form_gives_back_names_and_bytes_of_its_files(files: list[tuple[str, bytes]]) -> None:
    mark = b"----no-file-holds-this-7d1f"
    body = b"".join(
        b"--" + mark + b'\r\nContent-Disposition: form-data; name="f"; filename="' + name.encode() + b'"\r\n\r\n'
        + content + b"\r\n"
        for name, content in files
    ) + b"--" + mark + b"--\r\n"  # fmt: skip
    found = received(body, f"multipart/form-data; boundary={mark.decode()}")
    assert found == [SentImage(name, content) for name, content in files]


@given(st.lists(st.binary(max_size=500), min_size=1, max_size=4))
def test_base64_in_json_gives_back_the_bytes_in_their_order(contents: list[bytes]) -> None:
    texts = [base64.b64encode(content).decode() for content in contents]
    found = json_images(json.dumps({"images": texts}).encode(), LIMITS)
    assert [image.content for image in found] == contents


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"name": "", "image": null}')
def test_any_json_gives_images_or_is_refused_with_a_reason(body: bytes) -> None:
    refusal = None
    try:
        assert all(isinstance(image.content, bytes) for image in json_images(body, LIMITS))
    except Refusal as caught:
        refusal = caught
    assert refusal is None or (refusal.status in (413, 422) and all(refusal.as_json().values()))


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=300))
def test_any_form_gives_images_or_is_refused_with_a_reason(body: bytes) -> None:
    status = 422
    try:
        received(b"--b\r\n" + body, "multipart/form-data; boundary=b")
    except Refusal as refusal:
        status = refusal.status
    assert status in (413, 422)


@pytest.mark.parametrize("charset", ["idna", "undefined", "utf-16", "no-such-charset", "punycode", "a\0b"])
def test_a_form_in_any_charset_gives_images_or_is_422(charset: str) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a..b\xff"\r\n\r\nx\r\n--b--\r\n'
    found: Any
    try:
        found = [image.content for image in received(body, f"multipart/form-data; boundary=b; charset={charset}")]
    except Refusal as refusal:
        found = (refusal.status, refusal.reason)
    assert found in ([b"x"], (422, "not_a_form"))


@pytest.mark.parametrize(
    ("size", "told", "reason"),
    [(10_000, None, None), (10_001, None, "too_many_bytes"), (5, "10001", "too_many_bytes")],
)
def test_the_bound_on_bytes_holds_whatever_length_is_told(size: int, told: str | None, reason: str | None) -> None:
    headers = {} if told is None else {"content_length": told}
    if reason is None:
        assert len(received(bytes(size), "image/png", **headers)) == 1
        return
    with pytest.raises(Refusal) as caught:
        received(bytes(size), "image/png", **headers)
    assert (caught.value.status, caught.value.reason) == (413, reason)


def test_a_body_that_rests_is_408_and_one_that_flows_is_taken() -> None:
    limits = Limits(max_bytes=2**20)

    async def outcome(rest_s: float) -> Any:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(rest_s if pieces else 0)
            pieces.append(bytes(50_000))
            return {"type": "http.request", "body": pieces[-1], "more_body": len(pieces) < 8}

        pieces: list[bytes] = []
        request = Request({"type": "http", "method": "POST", "path": "/predict", "headers": []}, receive)
        try:
            with HeldBytes(limits.max_held_bytes).share() as share:
                return len((await read_images(request, limits, share))[0].content)
        except Refusal as refusal:
            return refusal.status

    async def both() -> list[Any]:
        return await asyncio.gather(outcome(0.4), outcome(4.0))  # 2.8 s, and 28 s if it were let

    assert asyncio.run(asyncio.wait_for(both(), 10)) == [400_000, 408]


def test_a_request_as_large_as_is_allowed_always_has_room() -> None:
    assert Limits().max_held_bytes == 256 * 2**20
    assert Limits(max_bytes=300 * 2**20).max_held_bytes == 600 * 2**20


def test_what_requests_hold_together_is_bounded_and_given_back() -> None:
    held = HeldBytes(100)
    with held.share() as first:
        first.take(70)
        with pytest.raises(Refusal) as caught, held.share() as second:
            second.take(20)
            second.take(20)
        assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
        assert held.bytes == 70
    assert held.bytes == 0


@given(st.text(), st.dictionaries(st.text(min_size=1, max_size=5), st.text() | st.integers() | st.none()))
def test_every_record_is_one_line_of_json(event: str, fields: dict[str, Any]) -> None:
    record = logging.LogRecord("n", logging.INFO, "f", 1, event.replace("%", "%%"), (), None)
    record.fields = fields
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line).items() >= {key: fields[key] for key in fields if key not in ("time", "level")}.items()
