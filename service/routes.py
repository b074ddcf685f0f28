"""The routes: they translate between HTTP and the engine, and do nothing else."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.engine import Engine
from service.errors import InvalidParameter, UploadTooSlow
from service.uploads import read_upload

DEFAULT_TOP_K = 5
MAX_TOP_K = 1000


class Routes:
    """The handlers, bound to an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def table(self) -> list[Route]:
        """Every route of the service."""
        return [
            Route("/predict", self.predict, methods=["POST"]),
            Route("/models", self.models, methods=["GET"]),
            Route("/models/{name}", self.model, methods=["GET"]),
            Route("/livez", self.live, methods=["GET"]),
            Route("/healthz", self.live, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def predict(self, request: Request) -> Response:
        """POST /predict: multipart field `image`, or the image as the body."""
        query = request.query_params
        # Everything that can refuse does so before the body is read.
        model = self.engine.find(query.get("model"), query.get("version"))
        k = _top_k(query.get("top_k"))
        settings = self.engine.settings
        with self.engine.admitted():
            try:
                async with asyncio.timeout(settings.timeout):
                    upload = await read_upload(request, settings.max_bytes)
            except TimeoutError as error:
                raise UploadTooSlow(settings.timeout) from error
        if "top_k" not in query:
            k = _top_k(upload.top_k)
        # The answer has its own time: a slow client must not cause what looks like a slow service.
        deadline = time.monotonic() + settings.timeout
        return JSONResponse(await self.engine.classify(model, upload.image, k, deadline))

    async def models(self, _: Request) -> Response:
        """GET /models: what is loaded."""
        return JSONResponse({"models": [self.engine.ready().summary()]})

    async def model(self, request: Request) -> Response:
        """GET /models/{name}: labels, metrics, provenance."""
        return JSONResponse(self.engine.find(request.path_params["name"]).describe())

    async def live(self, _: Request) -> Response:
        """GET /livez: the process answers."""
        return JSONResponse({"status": "live"})

    async def ready(self, _: Request) -> Response:
        """GET /readyz: checksums passed and the golden pictures gave the golden answers."""
        model = self.engine.ready()
        return JSONResponse(
            {"status": "ready", "model": model.name, "version": model.version, "bundle": model.bundle.id}
        )

    async def metrics(self, _: Request) -> Response:
        """GET /metrics: the Prometheus text format."""
        return Response(self.engine.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _top_k(text: str | None) -> int:
    if text is None:
        return DEFAULT_TOP_K
    if not (text.isascii() and text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= MAX_TOP_K):
        raise InvalidParameter("top_k", text, f"a whole number from 1 to {MAX_TOP_K}")
    return int(text)
