"""The service under test, asked one thing at a time: who it is, what it answers, what it counts."""

from __future__ import annotations

import http.client
import json
import os
from urllib.parse import quote, urlsplit

from load_tests.errors import AddressInvalid, ModelUnknown, NotTheService
from load_tests.outcome import Reply, detail

KEY = "CONVOY_API_KEY"
PATIENCE_SECONDS = 30.0
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Target:
    """A service at `url`. `CONVOY_API_KEY` is sent along where it is set. Raises: AddressInvalid."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise AddressInvalid(url) from error
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise AddressInvalid(url)
        self.url = url.rstrip("/")
        self.tls = parts.scheme == "https"
        self.host, self.port = host, port or (443 if self.tls else 80)
        self.prefix = parts.path.rstrip("/")
        self.netloc = parts.netloc.rpartition("@")[2]

    @property
    def local(self) -> bool:
        """Whether it runs on this machine, as far as its name tells."""
        return self.host in _LOCAL

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        """The bytes of a request that keeps its connection."""
        fields = {"Host": self.netloc, **key_header(), **headers, "Content-Length": str(len(body))}
        lines = [f"{method} {self.prefix}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        """One request on a connection of its own. Raises: NotTheService."""
        kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        connection = kind(self.host, self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, self.prefix + path, body or None, {**key_header(), **(headers or {})})
            response = connection.getresponse()
            return Reply(response.status, response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotTheService(self.url, str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def model(self, name: str | None) -> str:
        """The model that is asked: the given one, else the first of `/models`. Raises: NotTheService, ModelUnknown."""
        reply = self.ask("GET", "/models")
        try:
            if reply.status != 200:
                raise NotTheService(self.url, f"GET /models: {reply.status} {detail(reply)}".strip())
            names = [str(model["name"]) for model in json.loads(reply.body)["models"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotTheService(self.url, f"GET /models: status {reply.status}, and no list of models") from error
        if not names:
            raise NotTheService(self.url, "GET /models: no model is loaded")
        if name is not None and name not in names:
            raise ModelUnknown(name, names)
        return name or names[0]

    def metrics(self) -> str | None:
        """The text of `/metrics`; None where there is none."""
        try:
            reply = self.ask("GET", "/metrics")
        except NotTheService:
            return None
        return reply.body.decode("utf-8", "replace") if reply.status == 200 else None


def predict_path(model: str) -> str:
    """Where one picture of a model is asked for."""
    return f"/models/{quote(model, safe='')}/predict"


def batch_path(model: str) -> str:
    """Where several are."""
    return f"/predict_batch?model={quote(model, safe='')}"


def key_header() -> dict[str, str]:
    """The key, where one is set."""
    key = os.environ.get(KEY)
    return {"X-API-Key": key} if key else {}
