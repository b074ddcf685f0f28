"""Errors → RFC 9457 `application/problem+json`. The one table that knows HTTP statuses."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import JSONResponse

from bundle.errors import (
    EmptyImage,
    MalformedImage,
    TooManyBytes,
    TooManyPixels,
    UnreadableImage,
    UnsupportedImage,
)
from service.errors import (
    DeadlinePassed,
    InvalidParameter,
    MalformedRequest,
    MethodNotAllowed,
    NoSuchRoute,
    NotReady,
    Overloaded,
    UnknownModel,
    UnknownVersion,
    UploadTooLarge,
    UploadTooSlow,
)

STATUS: dict[type[Exception], HTTPStatus] = {
    MalformedRequest: HTTPStatus.BAD_REQUEST,
    InvalidParameter: HTTPStatus.BAD_REQUEST,
    EmptyImage: HTTPStatus.BAD_REQUEST,
    MalformedImage: HTTPStatus.BAD_REQUEST,
    UnknownModel: HTTPStatus.NOT_FOUND,
    UnknownVersion: HTTPStatus.NOT_FOUND,
    NoSuchRoute: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    UploadTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    UploadTooLarge: HTTPStatus(413),
    TooManyBytes: HTTPStatus(413),
    TooManyPixels: HTTPStatus(413),
    UnsupportedImage: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UnreadableImage: HTTPStatus(422),
    Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlinePassed: HTTPStatus.GATEWAY_TIMEOUT,
}

RETRY_AFTER_SECONDS = "1"


def problem(error: Exception) -> JSONResponse:
    """The response for an error; one that is not ours is a 500 that keeps its message to itself."""
    status = STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    detail = str(error) if type(error) in STATUS else "an error of the service, not of the request: see its log"
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "error": detail,
    }
    headers = {}
    if isinstance(error, (NotReady, Overloaded)):
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    if isinstance(error, (UploadTooLarge, UploadTooSlow)):
        # The rest of the body was not read; the connection is of no further use.
        headers["Connection"] = "close"
    return JSONResponse(body, status.value, headers, media_type="application/problem+json")
