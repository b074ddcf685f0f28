"""What a request can do wrong, and what the service can be short of. `service/problems.py` maps them to HTTP."""

from __future__ import annotations

from collections.abc import Iterable

from bundle.errors import ConvoyError, near


class RequestError(ConvoyError):
    """The request cannot be answered as it was sent."""


class MalformedRequest(RequestError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"the request is malformed: {reason}")


class InvalidParameter(RequestError):
    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"parameter {name} is {value[:80]!r}, expected {expected}")


class UploadTooLarge(RequestError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes: send a smaller image")


class UploadTooSlow(RequestError):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body did not arrive within {seconds:g} s")


class UnknownModel(RequestError):
    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(f"no model {name[:80]!r} here{near(name[:80], known)}: loaded are {', '.join(known)}")


class UnknownVersion(RequestError):
    def __init__(self, name: str, version: str, known: Iterable[str]) -> None:
        super().__init__(f"no version {version[:80]!r} of {name} here: loaded are {', '.join(sorted(known))}")


class NoSuchRoute(RequestError):
    def __init__(self, path: str) -> None:
        super().__init__(f"no route {path[:80]!r} here: see GET / for the routes")


class MethodNotAllowed(RequestError):
    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path[:80]} does not take {method[:20]}: use {allowed}")
        self.allowed = allowed


class NotReady(ConvoyError):
    """Not yet, or not any more. `reason` is shown by /readyz too."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the service is not ready: {reason}")


class Overloaded(ConvoyError):
    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are being worked on already: try again shortly")


class DeadlinePassed(ConvoyError):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


class SettingInvalid(ConvoyError):
    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"{variable}: {reason}")
