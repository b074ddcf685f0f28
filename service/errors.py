"""What a request can do wrong, and what the service can be short of. `service/problems.py` maps them to HTTP."""

from __future__ import annotations

import math
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


class BodyEncoded(RequestError):
    def __init__(self, encoding: str) -> None:
        super().__init__(f"a body in Content-Encoding {encoding[:40]!r} is not read here: send it as it is")


class TooManyItems(RequestError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} images in one request: send several requests")


class UploadTooSlow(RequestError):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body did not arrive within {seconds:g} s")


class OwnDeadlinePassed(RequestError):
    """The client's deadline, not the service's: what a client sends is no failure of the service."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within the request's own X-Request-Timeout of {seconds:g} s")


class UnknownModel(RequestError):
    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(f"no model {name[:80]!r} here{near(name[:80], known)}: loaded are {', '.join(known)}")


class UnknownVersion(RequestError):
    def __init__(self, name: str, version: str, known: Iterable[str]) -> None:
        super().__init__(f"no version {version[:80]!r} of {name} here: loaded are {', '.join(sorted(known))}")


class ModelNotNamed(RequestError):
    def __init__(self, known: Iterable[str]) -> None:
        super().__init__(f"several models are loaded: choose one with the parameter model: {', '.join(sorted(known))}")


class NoReference(RequestError):
    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"{name} {version} has no reference distribution to compare with: export it from an evaluated checkpoint"
        )


class NotExplained(RequestError):
    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"explain is true, but {name} {version} was exported without a class map (see docs/export.md): ask again "
            "without explain"
        )


class NoSuchRoute(RequestError):
    def __init__(self, path: str) -> None:
        super().__init__(f"no route {path[:80]!r} here: see GET / for the routes")


class MethodNotAllowed(RequestError):
    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path[:80]} does not take {method[:20]}: use {allowed}")
        self.allowed = allowed


class Unauthorized(RequestError):
    def __init__(self) -> None:
        super().__init__("an API key is needed: send it as X-API-Key, or as Authorization: Bearer KEY")


class NotReady(ConvoyError):
    """Not yet, or not any more. `reason` is shown by /readyz too."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the service is not ready: {reason}")


class Overloaded(ConvoyError):
    """No place, or no time. `retry_after` (whole seconds) from now it would have been accepted, as far as one knows.

    `reason` is `places`, `bytes`, `time` or `late`. `patience`: seconds that the client has left for the refusal.
    """

    def __init__(self, reason: str, detail: str, retry_after: float, patience: float) -> None:
        self.reason, self.retry_after, self.patience = reason, max(1, math.ceil(retry_after)), patience
        super().__init__(f"{detail}: try again in {self.retry_after} s")


class DeadlinePassed(ConvoyError):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


class AnswerNotFinite(ArithmeticError):
    """The model's fault and nobody's request: no ConvoyError, so that it is logged and its text stays inside."""

    def __init__(self) -> None:
        super().__init__("the model answered with probabilities that are no finite numbers")


class FolderNotModels(ConvoyError):
    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}: CONVOY_MODELS is a bundle, or a folder of NAME/VERSION/ bundles")


class VersionDiffers(ConvoyError):
    def __init__(self, path: object, folder: str, manifest: str) -> None:
        super().__init__(f"{path}: the folder says version {folder}, its manifest {manifest}: rename the folder")


class SettingInvalid(ConvoyError):
    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"{variable}: {reason}")
