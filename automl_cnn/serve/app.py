"""The routes: images in, answers out, and what those who run the server want to see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from automl_cnn import __version__
from automl_cnn.errors import AutoMLError
from automl_cnn.serve import schema
from automl_cnn.serve.body import read_images
from automl_cnn.serve.journal import Journal
from automl_cnn.serve.limits import HeldBytes, Limits, Refusal, describe
from automl_cnn.serve.metrics import CONTENT_TYPE, Metrics
from automl_cnn.serve.pool import Answer, WorkerPool
from automl_cnn.serve.record import Recorder
from automl_cnn.serve.snapshot import ServedModel

SHOWN = 20  # classes named on the page
# Clients that come again at once would otherwise keep the server so busy with refusing that workers wait for images.
REFUSAL_DELAY_S = 0.5
CLIENT_GONE = 499  # nginx's number for a client that did not wait; in the log alone


@dataclass(frozen=True)
class Service:
    """What stands behind the routes."""

    model: ServedModel
    pool: WorkerPool
    limits: Limits
    recorder: Recorder | None = None


def build_app(service: Service) -> ASGIApp:
    """The whole application.

    Args:
        service: its pool is started and stopped by the caller.
    """
    metrics = _metrics(service)
    app: FastAPI = FastAPIOffline(  # whose page loads nothing from the network
        title="automl-cnn", version=__version__, redoc_url=None, swagger_ui_parameters={"validatorUrl": None},
        description=f"Labels images as one of {', '.join(service.model.labels[:SHOWN])}.",
    )  # fmt: skip
    held = HeldBytes(service.limits.max_held_bytes)

    @app.post("/predict", **schema.PREDICT)
    async def predict(request: Request) -> Response:
        """Label one image: the file itself, a form with one file, or JSON with base64."""
        [(_, answer)] = await _label(service, metrics, held, request, single=True)
        if "error" in answer:
            return _error(request, 422, answer["error"])
        return _json(200, answer["prediction"])

    @app.post("/predict/batch", **schema.BATCH)
    async def predict_batch(request: Request) -> Response:
        """Label several images: a list in their order, with an error in the place of each that cannot be labelled."""
        labelled = await _label(service, metrics, held, request)
        return _json(200, [answer.get("prediction") or {"path": name, **answer} for name, answer in labelled])

    @app.get("/health", **schema.HEALTH)
    async def health() -> Response:
        """Whether the server can answer (200) or not (503), and with which model."""
        ready = service.pool.counts.ready
        state = {
            "status": "ok" if ready else "no worker is ready", "workers": ready, "waiting": service.pool.waiting,
            "model": {
                "file": service.model.name, "sha256": service.model.sha256, "labels": list(service.model.labels)
            },
            "version": __version__,
        }  # fmt: skip
        return _json(200 if ready else 503, state)

    @app.get("/health/live", **schema.LIVE)
    async def live() -> Response:
        """200 as long as the process answers at all."""
        return _json(200, {"status": "ok"})

    @app.get("/metrics", **schema.METRICS)
    async def show_metrics() -> Response:
        """Counters in Prometheus' text form."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("docs")

    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _no_such_route)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _broken)
    return Journal(app, metrics)


def _metrics(service: Service) -> Metrics:
    pool, recorder = service.pool, service.recorder
    return Metrics(
        {"sha256": service.model.sha256, "version": __version__},
        {
            "queue_depth": ("Images that wait for a worker.", lambda: pool.waiting),
            "workers_ready": ("Workers that can take an image.", lambda: pool.counts.ready),
            "workers_lost": ("Workers that died or hung since the start.", lambda: pool.counts.lost),
            "log_dropped": ("Predictions that could not be logged.", lambda: recorder.dropped if recorder else 0),
        },
    )


async def _label(
    service: Service, metrics: Metrics, held: HeldBytes, request: Request, *, single: bool = False
) -> list[tuple[str, Answer]]:
    """Receive the images, have them labelled, count and record the answers: name and answer of each."""
    service.pool.require_room()  # before the body is received: a refusal should cost neither side anything
    notes = request.state.notes
    with held.share() as share:
        images = await read_images(request, service.limits, share)
        notes.update(images=len(images), bytes=share.bytes)
        if single and len(images) != 1:
            raise _not_one(len(images))
        answers = await _unless_gone(request, service.pool.label(images))
    for answer in answers:
        metrics.count_answer(answer)
    if errors := [answer["error"]["reason"] for answer in answers if "error" in answer]:
        notes["refused"] = errors
    if service.recorder is not None:
        service.recorder.record(request.state.request_id, answers)
    return [(image.name, answer) for image, answer in zip(images, answers, strict=True)]


async def _unless_gone(request: Request, work: Coroutine[Any, Any, list[Answer]]) -> list[Answer]:
    """The work's result; when the client goes away first, the work is given up and ClientDisconnect raised."""
    working, gone = asyncio.create_task(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()


def _not_one(count: int) -> Refusal:
    problem = AutoMLError("body", expected="one image", received=f"{count}", action="Send several to /predict/batch.")
    return Refusal(422, "not_one_image", problem)


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    request.state.notes["reason"] = refusal.reason
    if refusal.status == 429:
        await asyncio.sleep(REFUSAL_DELAY_S)
    return _error(request, refusal.status, refusal.as_json(), refusal.headers)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = AutoMLError(
        "request", expected="POST /predict, POST /predict/batch, GET /health, GET /metrics or GET /docs",
        received=HTTPStatus(error.status_code).phrase, action="See /docs.",
    )  # fmt: skip
    return _error(request, error.status_code, describe("no_such_route", problem), dict(error.headers or {}))


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


async def _broken(request: Request, error: Exception) -> Response:
    problem = AutoMLError(
        "server", expected="an answer", received=f"an error of the server's own ({type(error).__name__})",
        action="Report it with the request id; its trace is in the server's log.",
    )  # fmt: skip
    return _error(request, 500, describe("server_error", problem))


def _error(
    request: Request, status: int, problem: dict[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    return _json(status, {"error": problem, "request_id": request.state.request_id}, headers)


def _json(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(content, ensure_ascii=False)
    return Response(text.encode("utf-8", "replace"), status, headers, media_type="application/json")
