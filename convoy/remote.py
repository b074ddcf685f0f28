"""A running service instead of a bundle: the same pictures in, the same answers out."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bundle.scores import Prediction
from convoy.errors import ServiceUnreachable, UrlInvalid

SIDE_BY_SIDE = 4
PATIENCE_SECONDS = 120.0
"""How long a picture is asked for again while the service is busy or not ready."""
KEY = "CONVOY_API_KEY"


class Remote:
    """A service at `url`. `CONVOY_API_KEY` is sent along where it is set. Raises: UrlInvalid."""

    def __init__(self, url: str, top_k: int) -> None:
        try:
            parts = urlsplit(url)
            self._host, self._port, scheme = parts.hostname, parts.port, parts.scheme
        except ValueError as error:
            raise UrlInvalid(url) from error
        if scheme not in ("http", "https") or not self._host or parts.query or parts.fragment:
            raise UrlInvalid(url)
        self._url = url
        self._kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        self._path = f"{parts.path.rstrip('/')}/predict?top_k={top_k}"
        self._headers = {"Content-Type": "application/octet-stream"}
        if key := os.environ.get(KEY):
            self._headers["X-API-Key"] = key
        self._own = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def classify(self, files: Iterable[Path]) -> Iterator[tuple[Path, list[Prediction], str | None]]:
        """Path, answers and error of each file, in order, a few at a time. Raises: ServiceUnreachable."""
        files = list(files)
        try:
            with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                for file, (answers, error) in zip(files, pool.map(self._one, files), strict=True):
                    yield file, answers, error
        finally:
            for connection in self._connections:
                connection.close()

    def _one(self, file: Path) -> tuple[list[Prediction], str | None]:
        try:
            data = file.read_bytes()
        except OSError as error:
            return [], str(error)
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            status, headers, body = self._post(data)
            wait = headers.get("retry-after", "")
            if status not in (429, 503) or time.monotonic() > until:
                return _read(status, body, self._url)
            time.sleep(min(float(wait), 30.0) if wait.isdecimal() else 1.0)

    def _post(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._kind(self._host or "", self._port, timeout=60)
            self._connections.append(connection)
        try:
            connection.request("POST", self._path, body=data, headers=self._headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._own.connection = None
            raise ServiceUnreachable(self._url, str(error) or type(error).__name__) from error


def _read(status: int, body: bytes, url: str) -> tuple[list[Prediction], str | None]:
    try:
        document: dict[str, Any] = json.loads(body)
        if status != 200:
            return [], str(document["detail"])
        return [Prediction(one["label"], one["index"], one["probability"]) for one in document["predictions"]], None
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceUnreachable(url, f"status {status} without an answer of Convoy's") from error
