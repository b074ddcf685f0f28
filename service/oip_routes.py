"""The Open Inference Protocol's routes: translate, ask the engine, translate back."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service import oip
from service.departure import unless_left
from service.engine import Engine
from service.errors import BodyEncoded, MalformedRequest
from service.model import ServedModel
from service.patience import HEADER, Patience
from service.routes import find_model, intake, timing
from service.uploads import read_body

JSON_LENGTH = "Inference-Header-Content-Length"
MODEL = "/v2/models/{name}"
VERSION = MODEL + "/versions/{version}"
SERVER = {"name": "convoy", "version": "2", "extensions": oip.EXTENSIONS}
"""`version` is the protocol's; what answers is named by each model's version and bundle."""


class OipRoutes:
    """The handlers, bound to an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def table(self) -> list[Route]:
        """Every route below /v2."""
        return [
            Route("/v2", self.server, methods=["GET"]),
            Route("/v2/health/live", self.live, methods=["GET"]),
            Route("/v2/health/ready", self.ready, methods=["GET"]),
            *(Route(path, self.metadata, methods=["GET"]) for path in (MODEL, VERSION)),
            *(Route(path + "/ready", self.model_ready, methods=["GET"]) for path in (MODEL, VERSION)),
            *(Route(path + "/infer", self.infer, methods=["POST"]) for path in (MODEL, VERSION)),
        ]

    async def server(self, _: Request) -> Response:
        """GET /v2: the server and its extensions."""
        return JSONResponse(SERVER)

    async def live(self, _: Request) -> Response:
        """GET /v2/health/live: the process answers."""
        return JSONResponse({"live": True})

    async def ready(self, _: Request) -> Response:
        """GET /v2/health/ready: as /readyz."""
        self.engine.ready()
        return JSONResponse({"ready": True})

    async def model_ready(self, request: Request) -> Response:
        """GET …/ready: the model is loaded and checked."""
        self.engine.ready()
        model = find_model(self.engine, request)
        return JSONResponse({"name": model.name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        """GET /v2/models/NAME: inputs and outputs."""
        model = find_model(self.engine, request)
        versions = [other.version for other in self.engine.models().versions(model.name)]
        classes = len(model.bundle.manifest.labels)
        return JSONResponse(oip.metadata(model.name, versions, model.input_shape, classes))

    async def infer(self, request: Request) -> Response:
        """POST …/infer: JSON, or JSON with binary tensors behind it."""
        model, settings = find_model(self.engine, request), self.engine.settings
        patience = Patience(request.headers.get(HEADER), settings)
        json_length = _json_length(request)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise BodyEncoded(request.headers["content-encoding"])
        async with intake(self.engine, request, model, patience, settings.max_request_bytes):
            body = await read_body(request, settings.max_request_bytes)
            # On a thread: a megabyte of numbers in JSON takes longer than the event loop has. It keeps its place
            # meanwhile, so that what is parsed is counted.
            call = await asyncio.to_thread(oip.parse, body, json_length, model.input_shape, settings.max_items)
            del body
        work = self.engine.answer(model, call.sources, _shape(model, call), patience)
        outcomes = await unless_left(request, work)
        for outcome in outcomes:
            # The protocol has no answer for a part of a batch.
            if outcome.error is not None:
                raise outcome.error
        answers = [outcome.answer for outcome in outcomes]
        answer, head = await asyncio.to_thread(oip.respond, call, model.name, model.version, answers)
        headers = timing(request, model, outcomes) | ({} if head is None else {JSON_LENGTH: str(head)})
        return Response(answer, 200, headers, "application/json" if head is None else "application/octet-stream")


def _json_length(request: Request) -> int | None:
    text = request.headers.get(JSON_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise MalformedRequest(f"{JSON_LENGTH} is {text[:40]!r}, expected a number of bytes")
    return int(text)


def _shape(model: ServedModel, call: oip.Call) -> Any:
    labels = model.bundle.manifest.labels

    def shape(probabilities: NDArray[np.float32]) -> Any:
        return oip.classified(probabilities, labels, call.classes) if call.classes else probabilities

    return shape
