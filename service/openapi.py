"""The OpenAPI document: one entry for every route that the front answers, and none more (a test compares them)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from service.hugging_face import Inputs
from service.oip import InferRequest
from service.patience import HEADER
from service.problems import STATUS
from service.routes import DEFAULT_TOP_K, MAX_TOP_K
from service.schemas import Answer, BatchAnswer, LabelScore, ModelDescription, ModelList, Problem

Json = dict[str, Any]

_MODELS: list[type[BaseModel]] = [
    Answer,
    BatchAnswer,
    InferRequest,
    Inputs,
    LabelScore,
    ModelDescription,
    ModelList,
    Problem,
]
_BYTES = {"type": "string", "format": "binary"}
_TOP_K = {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": DEFAULT_TOP_K}

_EXPLAIN = {
    "type": "boolean",
    "default": False,
    "description": "answer with an explanation too; a 400 where the model has no class map",
}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _form(field: str, schema: Json) -> Json:
    properties = {field: schema, "top_k": _TOP_K}
    return {"multipart/form-data": {"schema": {"type": "object", "required": [field], "properties": properties}}}


_IMAGE_BODY = {**_form("image", _BYTES), "application/octet-stream": {"schema": _BYTES}, "image/*": {"schema": _BYTES}}
_BATCH_BODY = _form("images", {"type": "array", "minItems": 1, "items": _BYTES})
_HF_BODY = {"application/octet-stream": {"schema": _BYTES}, **_json(_ref(Inputs))}
_INFER_BODY = {**_json(_ref(InferRequest)), "application/octet-stream": {"schema": _BYTES}}
_INFER_ANSWER = {**_json({"type": "object", "required": ["outputs"]}), "application/octet-stream": {"schema": _BYTES}}
_OBJECT = _json({"type": "object"})
_SCORES = _json({"type": "array", "items": _ref(LabelScore)})
_TEXT = {"text/plain": {"schema": {"type": "string"}}}

_BODIES: dict[str, Json] = {"predict": _IMAGE_BODY, "predict_batch": _BATCH_BODY, "infer": _INFER_BODY}
_BODIES["classify"] = _HF_BODY
_ANSWERS: dict[str, Json] = {
    "predict": _json(_ref(Answer)),
    "predict_batch": _json(_ref(BatchAnswer)),
    "models": _json(_ref(ModelList)),
    "model": _json(_ref(ModelDescription)),
    "live": _json({"type": "object"}),
    "ready": _json({"type": "object"}),
    "metrics": _TEXT,
    "infer": _INFER_ANSWER,
    "classify": _SCORES,
}
"""By the handler's name; every other answers an object."""

_QUERIES = {
    "predict": ("top_k", "explain", "model", "version"),
    "predict_batch": ("top_k", "model", "version"),
}


def document(routes: list[Route]) -> Json:
    """OpenAPI 3.1 of the routes; every handler's first line of documentation is its summary."""
    paths: dict[str, Json] = {}
    for route in routes:
        if not route.include_in_schema:
            continue  # the page's own files
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(route.path, {})[method.lower()] = _operation(route, method)
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Convoy",
            "version": "1",
            "description": "Image classification. Errors are RFC 9457 problem documents.",
        },
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }


def _operation(route: Route, method: str) -> Json:
    handler = route.endpoint.__name__
    summary = (route.endpoint.__doc__ or "").strip().splitlines()[0].partition(": ")[2]
    answer = {"description": "The answer", "content": _ANSWERS.get(handler, _OBJECT)}
    operation: Json = {
        "operationId": f"{method.lower()}{route.path}".replace("/", "_").replace("{", "").replace("}", ""),
        "summary": summary,
        "parameters": _parameters(route, handler),
        "responses": {"200": answer, **_problems(handler)},
    }
    if handler in _BODIES:
        operation["requestBody"] = {"required": True, "content": _BODIES[handler]}
    return operation


def _parameters(route: Route, handler: str) -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.param_convertors
    ]
    for name in _QUERIES.get(handler, ()):
        if {"model": "name", "version": "version"}.get(name) not in route.param_convertors:
            schema = {"top_k": _TOP_K, "explain": _EXPLAIN}.get(name, {"type": "string"})
            found.append({"name": name, "in": "query", "required": False, "schema": schema})
    if handler in _BODIES:
        schema = {"type": "number", "exclusiveMinimum": 0, "description": "seconds for the whole request"}
        found.append({"name": HEADER, "in": "header", "required": False, "schema": schema})
    return found


def _problems(handler: str) -> Json:
    """What may go wrong: everything, where a picture is sent; no such thing or not ready, everywhere."""
    statuses = {status.value for status in STATUS.values()} if handler in _BODIES else {401, 404, 405, 503}
    content = {"application/problem+json": {"schema": _ref(Problem)}}
    return {str(status): {"description": "A problem", "content": content} for status in sorted(statuses)}
