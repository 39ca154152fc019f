"""What the routes take and give, in the words of OpenAPI."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from automl_cnn.serve.body import ANY, FORM, IMAGES, JSON


class Labelled(BaseModel):
    """One image's answer, the same as `automl-cnn predict --json` gives."""

    path: str = Field(description="the file's name where the client gave one")
    label: str = Field(description="the most probable class")
    probability: float = Field(description="of that label, 0…1")
    probabilities: dict[str, float] = Field(description="class → probability")
    abstain: bool | None = Field(None, description="true: the probability is too small for this label to be relied on")
    ood_score: float | None = Field(None, description="how strange the image is; larger is stranger")
    out_of_distribution: bool | None = Field(
        None, description="true: stranger than 95 % of images like those trained on"
    )


class Problem(BaseModel):
    """Why there is no answer."""

    reason: str = Field(description="one word for programs: truncated, not_an_image, too_large, overloaded, …")
    where: str
    expected: str
    received: str
    action: str = Field(description="what to do next")
    message: str = Field(description="all of it as one sentence")


class Refused(BaseModel):
    """The answer to a request that is refused."""

    error: Problem
    request_id: str


class NotLabelled(BaseModel):
    """In a batch, in the place of an image that cannot be labelled."""

    path: str
    error: Problem


class Model(BaseModel):
    """The model that answers."""

    file: str
    sha256: str
    labels: list[str]


class Health(BaseModel):
    """The server's state."""

    status: str
    workers: int = Field(description="ready to take an image")
    waiting: int = Field(description="images in the queue")
    model: Model
    version: str


class Alive(BaseModel):
    """The process answers."""

    status: str


SERVER = ["server"]
_BINARY = {"type": "string", "format": "binary"}
_BASE64 = {"type": "string", "format": "byte", "description": "the image file as base64"}
_NAMED = {
    "type": "object", "required": ["image"], "properties": {"image": _BASE64, "name": {"type": "string"}}
}  # fmt: skip
_REFUSALS = {
    408: "the body did not come in time", 413: "too many bytes or images", 415: "a content type that is not taken",
    422: "no image, or one that cannot be decoded", 429: "overloaded; Retry-After says when to come again",
    504: "no answer in time",
}  # fmt: skip


def _form(field: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": [field], "properties": {field: content}}}


def _route(content: dict[str, Any], answer: Any, about: str, refusals: dict[int, str]) -> dict[str, Any]:
    return {
        "tags": ["images"],
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
        "responses": {
            200: {"model": answer, "description": about},
            **{status: {"model": Refused, "description": text} for status, text in refusals.items()},
        },
    }


PREDICT = _route(
    {
        FORM: _form("file", _BINARY),
        JSON: {"schema": _NAMED},
        **{kind: {"schema": _BINARY} for kind in (*IMAGES, ANY)},
    },
    Labelled, "the image's label", _REFUSALS,
)  # fmt: skip
BATCH = _route(
    {
        FORM: _form("files", {"type": "array", "items": _BINARY}),
        JSON: _form("images", {"type": "array", "items": {"oneOf": [_BASE64, _NAMED]}}),
    },
    list[Labelled | NotLabelled], "an answer or an error for each image, in their order", _REFUSALS,
)  # fmt: skip
HEALTH: dict[str, Any] = {
    "responses": {200: {"model": Health}, 503: {"model": Health, "description": "no worker is ready"}}
}
LIVE: dict[str, Any] = {"tags": SERVER, "responses": {200: {"model": Alive}}}
METRICS: dict[str, Any] = {
    "tags": SERVER,
    "responses": {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
}
