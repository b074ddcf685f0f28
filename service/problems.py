"""Errors → RFC 9457 `application/problem+json`. The one table that knows HTTP statuses."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from bundle.errors import (
    EmptyImage,
    MalformedImage,
    TooCostly,
    TooManyBytes,
    TooManyPixels,
    UnreadableImage,
    UnsupportedImage,
)
from service.errors import (
    BodyEncoded,
    DeadlinePassed,
    InvalidParameter,
    MalformedRequest,
    MethodNotAllowed,
    ModelNotNamed,
    NoReference,
    NoSuchRoute,
    NotExplained,
    NotReady,
    Overloaded,
    OwnDeadlinePassed,
    TooManyItems,
    Unauthorized,
    UnknownModel,
    UnknownVersion,
    UploadTooLarge,
    UploadTooSlow,
)

STATUS: dict[type[Exception], HTTPStatus] = {
    MalformedRequest: HTTPStatus.BAD_REQUEST,
    InvalidParameter: HTTPStatus.BAD_REQUEST,
    ModelNotNamed: HTTPStatus.BAD_REQUEST,
    NotExplained: HTTPStatus.BAD_REQUEST,
    EmptyImage: HTTPStatus.BAD_REQUEST,
    MalformedImage: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    UnknownModel: HTTPStatus.NOT_FOUND,
    UnknownVersion: HTTPStatus.NOT_FOUND,
    NoSuchRoute: HTTPStatus.NOT_FOUND,
    NoReference: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    UploadTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    OwnDeadlinePassed: HTTPStatus.REQUEST_TIMEOUT,
    UploadTooLarge: HTTPStatus(413),
    TooManyItems: HTTPStatus(413),
    TooManyBytes: HTTPStatus(413),
    TooManyPixels: HTTPStatus(413),
    TooCostly: HTTPStatus(413),
    UnsupportedImage: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    BodyEncoded: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UnreadableImage: HTTPStatus(422),
    Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlinePassed: HTTPStatus.GATEWAY_TIMEOUT,
}

NOT_READY_RETRY_SECONDS = 1


def problem_body(error: Exception) -> dict[str, Any]:
    """The problem as JSON; of an error that is not ours nothing but the fact."""
    status = STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    detail = str(error) if type(error) in STATUS else "an error of the service, not of the request: see its log"
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "error": detail,
    }


def problem(error: Exception) -> JSONResponse:
    """The response for an error; one that is not ours is a 500 that keeps its message to itself."""
    body = problem_body(error)
    return JSONResponse(body, body["status"], _headers(error), media_type="application/problem+json")


def _headers(error: Exception) -> dict[str, str]:
    """What the client should do next."""
    if isinstance(error, NotReady):
        return {"Retry-After": str(NOT_READY_RETRY_SECONDS)}
    if isinstance(error, Overloaded):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, Unauthorized):
        # A browser asks its user for a name and a password, and the page's own requests carry them.
        return {"WWW-Authenticate": 'Basic realm="convoy: any name, the key as password", Bearer'}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": error.allowed}
    if isinstance(error, (UploadTooLarge, UploadTooSlow)):
        # The rest of the body was not read; the connection is of no further use.
        return {"Connection": "close"}
    return {}
