"""The HTTP routes: each reads the request, asks the engine, and writes JSON. Errors are left to the front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bundle.scores import top_k
from service.access import note
from service.departure import unless_left
from service.engine import Engine, Outcome
from service.errors import InvalidParameter, NoReference, NotExplained, UploadTooSlow
from service.explanation import Explain, Explained, checked_explain, explainer
from service.model import ServedModel
from service.patience import HEADER, Patience
from service.problems import problem_body
from service.uploads import declared_length, read_upload, read_uploads

DEFAULT_TOP_K = 5
MAX_TOP_K = 1000


class Routes:
    """The handlers, bound to an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def table(self) -> list[Route]:
        """Every route of the native API."""
        return [
            Route("/predict", self.predict, methods=["POST"]),
            Route("/predict_batch", self.predict_batch, methods=["POST"]),
            Route("/models", self.models, methods=["GET"]),
            Route("/models/{name}", self.model, methods=["GET"]),
            Route("/models/{name}/drift", self.drift, methods=["GET"]),
            Route("/models/{name}/predict", self.predict, methods=["POST"]),
            Route("/models/{name}/versions/{version}", self.model, methods=["GET"]),
            Route("/models/{name}/versions/{version}/drift", self.drift, methods=["GET"]),
            Route("/models/{name}/versions/{version}/predict", self.predict, methods=["POST"]),
            Route("/livez", self.live, methods=["GET"]),
            Route("/healthz", self.live, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def predict(self, request: Request) -> Response:
        """POST /predict: multipart field `image`, or the image as the body."""
        # Everything that can refuse does so before the body is read.
        model, k = find_model(self.engine, request), query_top_k(request)
        explain = query_explain(model, request)
        patience = Patience(request.headers.get(HEADER), self.engine.settings)
        limit = self.engine.settings.max_bytes
        async with intake(self.engine, request, model, patience, limit):
            image, field = await read_upload(request, limit)
        k = k or checked_top_k(field) or DEFAULT_TOP_K
        work = self.engine.answer(model, [image], classes(model, k), patience, explain)
        (outcome,) = await unless_left(request, work)
        headers = timing(request, model, [outcome])
        if outcome.error is not None:
            raise outcome.error
        return JSONResponse({**identity(model), **answered(outcome.answer)}, headers=headers)

    async def predict_batch(self, request: Request) -> Response:
        """POST /predict_batch: multipart fields `images`; one result or problem per picture, in order."""
        model, k = find_model(self.engine, request), query_top_k(request)
        settings = self.engine.settings
        patience = Patience(request.headers.get(HEADER), settings)
        async with intake(self.engine, request, model, patience, settings.max_request_bytes):
            images, field = await read_uploads(
                request, settings.max_bytes, settings.max_items, settings.max_request_bytes
            )
        k = k or checked_top_k(field) or DEFAULT_TOP_K
        work = self.engine.answer(model, images, classes(model, k), patience)
        outcomes = await unless_left(request, work)
        results = [result(outcome) for outcome in outcomes]
        return JSONResponse({**identity(model), "results": results}, headers=timing(request, model, outcomes))

    async def models(self, _: Request) -> Response:
        """GET /models: what is loaded."""
        catalogue = self.engine.models()
        return JSONResponse({"models": [model.summary() for model in catalogue.all]})

    async def model(self, request: Request) -> Response:
        """GET /models/{name}: labels, metrics, provenance of the highest or the given version."""
        model = find_model(self.engine, request)
        versions = [other.version for other in self.engine.models().versions(model.name)]
        return JSONResponse({**model.describe(), "versions": versions})

    async def drift(self, request: Request) -> Response:
        """GET /models/{name}/drift: the latest traffic against the pictures of the evaluation."""
        model = find_model(self.engine, request)
        if model.drift is None:
            raise NoReference(model.name, model.version)
        return JSONResponse({**identity(model), **model.drift.report()})

    async def live(self, _: Request) -> Response:
        """GET /livez: the process answers."""
        return JSONResponse({"status": "live"})

    async def ready(self, _: Request) -> Response:
        """GET /readyz: checksums passed and the golden pictures gave the golden answers, for every bundle."""
        return JSONResponse({"status": "ready", "models": [identity(model) for model in self.engine.ready().all]})

    async def metrics(self, _: Request) -> Response:
        """GET /metrics: the Prometheus text format."""
        return Response(self.engine.exposition(), media_type=CONTENT_TYPE_LATEST)


def find_model(engine: Engine, request: Request) -> ServedModel:
    """By path, else by query. Raises: NotReady, UnknownModel, UnknownVersion, ModelNotNamed."""
    path, query = request.path_params, query_of(request)
    return engine.models().find(path.get("name", query.get("model")), path.get("version", query.get("version")))


def query_of(request: Request) -> Mapping[str, str]:
    """The query's parameters; nothing is parsed for the many requests without a query."""
    return request.query_params if request.scope["query_string"] else {}


@asynccontextmanager
async def intake(
    engine: Engine, request: Request, model: ServedModel, patience: Patience, limit: int
) -> AsyncIterator[None]:
    """Hold a place while the block reads the body, for as long as the patience lasts.

    Raises: Overloaded before anything was read; UploadTooSlow.
    """
    with engine.admitted(model, patience, min(declared_length(request, limit), limit)):
        try:
            async with asyncio.timeout(patience.left()):
                yield
        except TimeoutError as error:
            raise UploadTooSlow(patience.seconds) from error


def classes(model: ServedModel, k: int) -> Callable[[NDArray[np.float32]], list[dict[str, Any]]]:
    """Makes the k most probable classes of float32 [K]."""

    def shape(probabilities: NDArray[np.float32]) -> list[dict[str, Any]]:
        return [answer.as_dict() for answer in top_k(probabilities, model.bundle.manifest.labels, k)]

    return shape


def identity(model: ServedModel) -> dict[str, str]:
    """Exactly what answered."""
    return {"model": model.name, "version": model.version, "bundle": model.bundle.id}


def answered(answer: object) -> dict[str, Any]:
    """The classes, and where it was asked for the explanation."""
    if isinstance(answer, Explained):
        return {"predictions": answer.answer, "explanation": answer.explanation}
    return {"predictions": answer}


def result(outcome: Outcome) -> dict[str, Any]:
    """One item of a batch."""
    if outcome.error is None:
        return {"predictions": outcome.answer}
    return {"problem": problem_body(outcome.error)}


def timing(request: Request, model: ServedModel, outcomes: list[Outcome]) -> dict[str, str]:
    """The Server-Timing header (W3C): milliseconds by stage, of the slowest picture for each; noted for the log too."""
    stages = dict.fromkeys(stage for outcome in outcomes for stage in outcome.seconds)
    slowest = {stage: max(outcome.seconds.get(stage, 0.0) for outcome in outcomes) for stage in stages}
    note(request, identity(model), slowest)
    value = ", ".join(f"{stage};dur={1000 * seconds:.2f}" for stage, seconds in slowest.items())
    return {"Server-Timing": value} if value else {}


def query_top_k(request: Request) -> int | None:
    """Raises: InvalidParameter."""
    return checked_top_k(query_of(request).get("top_k"))


def query_explain(model: ServedModel, request: Request) -> Explain | None:
    """Raises: InvalidParameter; NotExplained, where the model's artefact has no class map."""
    if not checked_explain(query_of(request).get("explain")):
        return None
    if not model.runtime.explains:
        raise NotExplained(model.name, model.version)
    return explainer(model.bundle.manifest)


def checked_top_k(text: str | None) -> int | None:
    """Raises: InvalidParameter."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= MAX_TOP_K):
        raise InvalidParameter("top_k", text, f"a whole number from 1 to {MAX_TOP_K}")
    return int(text)
