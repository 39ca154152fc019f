"""From a request's body to the image files in it: raw, as a form, or as base64 in JSON."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from automl_cnn.errors import AutoMLError
from automl_cnn.serve.limits import MEBIBYTE, STRETCH_BYTES, STRETCH_S, Limits, Refusal, Share

FORM, JSON, ANY = "multipart/form-data", "application/json", "application/octet-stream"
IMAGES = (
    "image/jpeg", "image/jpg", "image/pjpeg", "image/png", "image/x-png", "image/gif", "image/bmp", "image/x-ms-bmp",
    "image/tiff", "image/webp", "image/avif", "image/jp2", "image/jpx", "image/x-portable-pixmap",
    "image/x-portable-graymap", "image/x-portable-bitmap", "image/x-portable-anymap",
)  # fmt: skip
DEFAULT_NAME = "image"
NAME_CHARS = 200  # of a file's name: it comes back in the answer
TAKEN = f"an image ({', '.join(IMAGES[:1] + IMAGES[3:4])}, … or {ANY}), {FORM} or {JSON}"


@dataclass(frozen=True)
class SentImage:
    """One image file as it came.

    Attributes:
        name: of the file as the client calls it; `image` or `image[3]` where it has none.
        content: the whole file.
    """

    name: str
    content: bytes


async def read_images(request: Request, limits: Limits, share: Share) -> list[SentImage]:
    """Receive a request's images, in their order.

    Args:
        request: its body is an image file, a form with files, or JSON: {"image": base64} or {"images": [base64, …]},
            where each may be {"name": …, "image": base64} as well.
        limits: max_bytes, max_images and client_timeout_s are read.
        share: told of the bytes as they come.
    Returns:
        At least one.
    Raises:
        Refusal: 408, 413, 415, 422 or 429, with its reason.
        starlette.requests.ClientDisconnect: the client went away.
    """
    kind = _content_type(request.headers)
    body = await _read_body(request, limits, share)
    if kind == FORM:
        images = await _form_images(request.headers, body, limits)
    elif kind == JSON:
        images = json_images(body, limits)
    else:
        images = [SentImage(DEFAULT_NAME, body)]
    if not images:
        raise _unreadable("no_image", "body", "at least one image file", "none", "Send one as a field of type file.")
    return images


def json_images(body: bytes, limits: Limits) -> list[SentImage]:
    """The images of a JSON body.

    Raises:
        Refusal: 413 or 422.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _unreadable("not_json", "body", "JSON", str(error), "Send application/json as UTF-8.") from None
    if not isinstance(given, dict) or len(given.keys() & {"image", "images"}) != 1:
        raise _unreadable(
            "not_an_image", "body", 'an object with "image" or "images"', _shape(given),
            'Send {"image": "<base64>"} or {"images": ["<base64>", …]}.',
        )  # fmt: skip
    listed = given.get("images", [given])
    if not isinstance(listed, list):
        raise _unreadable("not_an_image", "images", "a list", _shape(listed), 'Send {"images": ["<base64>", …]}.')
    _require_few(len(listed), limits)
    alone = "image" in given
    return [_from_base64(one, DEFAULT_NAME if alone else f"images[{i}]") for i, one in enumerate(listed)]


def _content_type(headers: Headers) -> str:
    """The body's kind in lower case, without parameters."""
    kind = headers.get("content-type", ANY).partition(";")[0].strip().lower()
    if kind not in (*IMAGES, ANY, FORM, JSON):
        raise _unsupported("Content-Type", TAKEN, kind, "For curl: -H 'Content-Type: image/jpeg' --data-binary @FILE.")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise _unsupported("Content-Encoding", "none", encoding, "Send the body as it is; image files are compressed.")
    return kind


async def _read_body(request: Request, limits: Limits, share: Share) -> bytes:
    """The body, from a client that sends it without long rests: what has come of it takes room from all others."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > limits.max_bytes:
        raise _too_many_bytes(f"{int(told):,} bytes", limits)
    parts, length, due = [], 0, STRETCH_BYTES
    now = asyncio.get_running_loop().time
    end = now() + limits.client_timeout_s
    try:
        async with asyncio.timeout_at(min(end, now() + STRETCH_S)) as patience:
            async for part in request.stream():
                length += len(part)
                if length > limits.max_bytes:
                    raise _too_many_bytes("more", limits)
                share.take(len(part))
                parts.append(part)
                if length >= due:
                    due = length + STRETCH_BYTES
                    patience.reschedule(min(end, now() + STRETCH_S))
    except TimeoutError:
        raise Refusal(
            408,
            "slow_client",
            AutoMLError(
                "body",
                expected=f"all of it within {limits.client_timeout_s:g} s, and {STRETCH_BYTES // 1024} KiB or the rest "
                f"every {STRETCH_S:g} s",
                received=f"{length:,} bytes{f' of {told}' if told else ''}",
                action="Send the request again, with smaller images where the connection is slow.",
            ),
            {"Connection": "close"},
        ) from None  # fmt: skip
    return b"".join(parts)


async def _form_images(headers: Headers, body: bytes, limits: Limits) -> list[SentImage]:
    """The fields of a form that are files; other fields are passed over."""

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(headers, whole(), max_files=limits.max_images, max_fields=limits.max_images)
    parser.spool_max_size = limits.max_bytes + 1  # the body is in memory already: no file on disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many_images("more", limits) from None
        raise _unreadable("not_a_form", "body", FORM, error.message, "Send files as curl -F file=@FILE does.") from None
    except ValueError as error:  # a charset that is no encoding of text
        raise _unreadable("not_a_form", "body", FORM, str(error), "Send files as curl -F file=@FILE does.") from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    images = [
        SentImage(file.filename[:NAME_CHARS] if file.filename else f"{DEFAULT_NAME}[{i}]", await file.read())
        for i, file in enumerate(files)
    ]
    await form.close()
    return images


def _from_base64(given: Any, name: str) -> SentImage:
    """One image of a JSON body: its base64, or an object with that and a name."""
    if isinstance(given, dict):
        sent = given.get("name")
        name = sent[:NAME_CHARS] if isinstance(sent, str) and sent.strip() else name
        given = given.get("image")
    if not isinstance(given, str):
        raise _unreadable("not_base64", name, "base64 text", _shape(given), "Encode the image file as base64.")
    if given.startswith("data:"):
        given = given.partition(",")[2]
    try:
        return SentImage(name, base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError) as error:
        raise _unreadable("not_base64", name, "base64 text", str(error), "Encode the image file as base64.") from None


def _require_few(count: int, limits: Limits) -> None:
    if count > limits.max_images:
        raise _too_many_images(f"{count:,}", limits)


def _shape(value: Any) -> str:
    """What a JSON value is, without what is in it."""
    if isinstance(value, dict):
        return f"an object with {', '.join(sorted(map(str, value))[:5])[:100] or 'nothing in it'}"
    return {list: "a list", str: "text", bool: "true or false", type(None): "nothing"}.get(type(value), "a number")


def _too_many_bytes(received: str, limits: Limits) -> Refusal:
    problem = AutoMLError(
        "body", expected=f"at most {limits.max_bytes / MEBIBYTE:g} MiB", received=received,
        action="Send smaller images or fewer at once, or start the server with a larger --max-bytes.",
    )  # fmt: skip
    return Refusal(413, "too_many_bytes", problem)


def _too_many_images(received: str, limits: Limits) -> Refusal:
    problem = AutoMLError(
        "body", expected=f"at most {limits.max_images} images", received=received, action="Send fewer at once."
    )
    return Refusal(413, "too_many_images", problem)


def _unsupported(where: str, expected: str, received: str, action: str) -> Refusal:
    problem = AutoMLError(where, expected=expected, received=received[:100], action=action)
    return Refusal(415, "unsupported", problem)


def _unreadable(reason: str, where: str, expected: str, received: str, action: str) -> Refusal:
    return Refusal(422, reason, AutoMLError(where, expected=expected, received=received, action=action))
