from __future__ import annotations

import json

import pytest

import bundle.errors
import service.errors
from bundle.errors import ConvoyError, ImageError
from service.errors import MethodNotAllowed, NotReady, Overloaded, RequestError, UploadTooLarge
from service.problems import STATUS, problem


def subclasses(base: type[ConvoyError]) -> set[type[ConvoyError]]:
    found = set(base.__subclasses__())
    return found | {deeper for child in found for deeper in subclasses(child)}


def test_everything_a_client_can_cause_is_in_the_table_and_no_5xx() -> None:
    served = (bundle.errors.__name__, service.errors.__name__)
    caused = {error for error in subclasses(ImageError) | subclasses(RequestError) if error.__module__ in served}
    assert caused <= set(STATUS)
    assert all(400 <= STATUS[error] < 500 for error in caused)


def test_only_the_services_own_state_is_a_5xx() -> None:
    assert {error.__name__ for error, status in STATUS.items() if status >= 500} == {"NotReady", "DeadlinePassed"}


def test_a_problem_is_rfc_9457_and_has_the_protocols_error_key() -> None:
    response = problem(bundle.errors.EmptyImage())
    body = json.loads(response.body)
    assert response.media_type == "application/problem+json"
    assert (body["type"], body["title"], body["status"]) == ("about:blank", "Bad Request", 400)
    assert body["detail"] == body["error"] == "the image is empty (0 bytes): send the bytes of the file"


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (NotReady("loading"), "retry-after", "1"),
        (Overloaded("time", "busy", 2.2, 9.0), "retry-after", "3"),
        (MethodNotAllowed("PUT", "/predict", "POST"), "allow", "POST"),
        (UploadTooLarge(5), "connection", "close"),
    ],
)
def test_headers_say_what_to_do_next(error: Exception, header: str, value: str) -> None:
    assert problem(error).headers[header] == value


@pytest.mark.parametrize("error", [KeyError("secret"), bundle.errors.CannotWrite("/etc/secret", "x")])
def test_an_error_of_ours_keeps_its_message_to_itself(error: Exception) -> None:
    response = problem(error)
    assert response.status_code == 500
    assert b"secret" not in response.body


def test_every_service_error_has_a_status_or_is_no_answer() -> None:
    own = {error for error in subclasses(ConvoyError) if error.__module__ == service.errors.__name__}
    assert own - set(STATUS) == {
        RequestError,
        service.errors.SettingInvalid,
        service.errors.FolderNotModels,
        service.errors.VersionDiffers,
    }
