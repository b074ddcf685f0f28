"""The OpenAPI document is what the service does: every route, and no answer that it does not name."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.responses import PlainTextResponse

from service.front import Front, answered
from service.openapi import document
from tests.pictures import encode, plain
from tests.service.conftest import Served, new_engine

RED = encode(plain("red"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


OWN = "/docs.json"
"""Schemathesis leaves out the document that it reads."""


def described() -> set[tuple[str, str]]:
    paths = document(answered(new_engine()))["paths"]
    return {(method.upper(), path) for path, operations in paths.items() for method in operations}


def test_every_route_is_described_and_nothing_else() -> None:
    front = Front(PlainTextResponse(""), new_engine())
    api = [route for route in front.routes if route.include_in_schema]  # not the pages for people
    routes = {(method, route.path) for route in api for method in (route.methods or set()) - {"HEAD"}}
    assert described() == routes


def test_the_document_is_served(tiny_service: Served) -> None:
    found = tiny_service.get("/docs.json").json()
    assert found["openapi"] == "3.1.0"
    predict = found["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {"multipart/form-data", "application/octet-stream", "image/*"}
    assert {"200", "400", "413", "415", "422", "429", "503", "504"} <= set(predict["responses"])
    assert all(operation["summary"] for path in found["paths"].values() for operation in path.values())


@pytest.fixture(scope="module")
def operations(tiny_service: Served) -> dict[str, Any]:
    schema = schemathesis.openapi.from_url(tiny_service.url + "/docs.json")
    return {operation.label: operation for operation in (found.ok() for found in schema.get_all_operations())}


def ask(operation: Any, examples: int) -> None:
    """Well formed and ill formed requests; half of them about the model that is there."""
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if list(operation.iter_parameters()) else ()
    here = {"name": "tiny", "version": "1"}
    for mode in modes or (GenerationMode.POSITIVE,):
        for known in (None, {name: here[name] for name in here if f"{{{name}}}" in operation.path}):

            @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
            @given(operation.as_strategy(mode, **({"path_parameters": known} if known else {})))
            def check(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=CHECKS, timeout=30)

            with suppress(Unsatisfiable):
                check()


each_operation = pytest.mark.parametrize(
    "label", sorted(f"{method} {path}" for method, path in described() if path != OWN)
)


@each_operation
def test_generated_requests_get_answers_that_the_document_names(
    operations: dict[str, Any], tiny_service: Served, label: str
) -> None:
    ask(operations[label], examples=8)
    assert tiny_service.post(RED).status_code == 200


@pytest.mark.slow
@each_operation
def test_many_generated_requests_get_answers_that_the_document_names(
    operations: dict[str, Any], tiny_service: Served, label: str
) -> None:
    ask(operations[label], examples=150)
    assert tiny_service.post(RED).status_code == 200
