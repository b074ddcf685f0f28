"""API keys from a file, one a line: read again when the file changes, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from service.errors import SettingInvalid, Unauthorized

logger = logging.getLogger("convoy.service")

VARIABLE = "CONVOY_API_KEYS_FILE"
SHORTEST = 16
CHECK_SECONDS = 1.0


class Keys:
    """The keys of a file; `#` begins a comment line. Only their digests are kept.

    Raises: SettingInvalid when the file has none, or a short one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()
        self._digests = _read(path)
        self._next = time.monotonic() + CHECK_SECONDS

    def check(self, headers: Mapping[str, str]) -> None:
        """A key as `X-API-Key`, as a bearer token, or as a basic password (any user). Raises: Unauthorized."""
        self._reload()
        given = hashlib.sha256(_given(headers)).digest()
        # Every key is compared, so that the time says nothing of which one was near.
        if not sum([hmac.compare_digest(given, digest) for digest in self._digests]):
            raise Unauthorized()

    def _look(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0
        return status.st_mtime_ns, status.st_size

    def _reload(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + CHECK_SECONDS
        if (stamp := self._look()) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._digests = _read(self._path)
            logger.info("API keys read again: %d", len(self._digests))
        except SettingInvalid as error:
            # A file that is being written, or was lost, must neither open the door nor lock everybody out.
            logger.error("the API keys stay as they were: %s", error)


def _read(path: Path) -> list[bytes]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise SettingInvalid(VARIABLE, f"{path}: cannot be read: {error}") from error
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    keys = {number: line for number, line in stripped if line and not line.startswith("#")}
    for number, key in keys.items():
        if len(key) < SHORTEST:
            raise SettingInvalid(VARIABLE, f"{path}, line {number}: a key of {SHORTEST} characters at least is needed")
    if not keys:
        raise SettingInvalid(VARIABLE, f"{path}: no key in it: write one a line")
    return [hashlib.sha256(key.encode()).digest() for key in keys.values()]


def _given(headers: Mapping[str, str]) -> bytes:
    if key := headers.get("x-api-key"):
        return key.encode("latin-1", "replace")
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
