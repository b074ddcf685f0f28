"""The shape of Hugging Face's image classification endpoints, so that their clients work against this service."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.departure import unless_left
from service.engine import Engine
from service.errors import MalformedRequest
from service.patience import HEADER, Patience
from service.routes import DEFAULT_TOP_K, MAX_TOP_K, classes, find_model, intake, timing
from service.uploads import read_body

BASE64 = 4 / 3


class Parameters(BaseModel):
    """What a client may ask for; the rest is ignored, as probabilities are what the graph gives."""

    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] | None = None


class Inputs(BaseModel):
    """The JSON form: the encoded picture as base64."""

    inputs: str
    parameters: Parameters | None = None


class HuggingFaceRoutes:
    """The handler, bound to an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def table(self) -> list[Route]:
        """The one route."""
        return [Route("/hf/{name}", self.classify, methods=["POST"])]

    async def classify(self, request: Request) -> Response:
        """POST /hf/NAME: the picture as the body, or JSON with the picture as base64."""
        model, settings = find_model(self.engine, request), self.engine.settings
        patience = Patience(request.headers.get(HEADER), settings)
        as_json = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        limit = int(settings.max_bytes * BASE64) + 1024 if as_json else settings.max_bytes
        async with intake(self.engine, request, model, patience, limit):
            body = await read_body(request, limit)
            # On a thread: ten megabytes of base64 take longer than the event loop has.
            image, k = await asyncio.to_thread(_from_json, body) if as_json else (body, DEFAULT_TOP_K)
        work = self.engine.answer(model, [image], classes(model, k), patience)
        (outcome,) = await unless_left(request, work)
        headers = timing(request, model, [outcome])
        if outcome.error is not None:
            raise outcome.error
        return JSONResponse([_pair(item) for item in _items(outcome.answer)], headers=headers)


def _from_json(body: bytes) -> tuple[bytes, int]:
    try:
        found = Inputs.model_validate(json.loads(body))
        image = base64.b64decode(found.inputs, validate=True)
    except ValidationError as error:
        raise MalformedRequest('expected {"inputs": BASE64, "parameters": {"top_k": N}}') from error
    except (ValueError, RecursionError, binascii.Error) as error:
        raise MalformedRequest("the body is not JSON with a picture as base64") from error
    return image, (found.parameters and found.parameters.top_k) or DEFAULT_TOP_K


def _items(answer: object) -> list[dict[str, Any]]:
    assert isinstance(answer, list)
    return answer


def _pair(item: dict[str, Any]) -> dict[str, Any]:
    return {"label": item["label"], "score": item["probability"]}
