"""The request's body → the image's bytes: multipart or raw, with the limits enforced while reading."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from service.errors import MalformedRequest, UploadTooLarge

FIELD: Final = b"image"
TOP_K: Final = b"top_k"
MAX_TOP_K_BYTES = 64
MULTIPART_OVERHEAD = 64 * 1024
"""What boundaries, part headers and small fields may add to the image's bytes."""


class Upload(NamedTuple):
    """The image's bytes, and `top_k` where the form has it (BentoML's client sends it there)."""

    image: bytes
    top_k: str | None = None


async def read_upload(request: Request, max_bytes: int) -> Upload:
    """The multipart field `image`, or a raw body of any other content type.

    The type a client claims is not believed: the decoder looks at the bytes.
    Raises: MalformedRequest, UploadTooLarge (before the body is read, when its length is declared).
    """
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data":
        _refuse_declared_length(request, max_bytes)
        body = bytearray()
        async for chunk in _limited(request.stream(), max_bytes):
            body += chunk
        return Upload(bytes(body))
    _refuse_declared_length(request, max_bytes + MULTIPART_OVERHEAD)
    boundary = options.get(b"boundary")
    if not boundary:
        raise MalformedRequest("multipart/form-data without a boundary")
    form = ImageForm(boundary, max_bytes)
    async for chunk in _limited(request.stream(), max_bytes + MULTIPART_OVERHEAD):
        form.feed(chunk)
    return form.close()


def _refuse_declared_length(request: Request, limit: int) -> None:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise UploadTooLarge(limit)


async def _limited(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise UploadTooLarge(limit)
        yield chunk


class ImageForm:
    """A multipart form of which only `image` and `top_k` are kept, in memory: nothing is spooled to disk.

    Raises: MalformedRequest on a broken form, no part or two parts called `image`; UploadTooLarge.
    """

    def __init__(self, boundary: bytes, max_bytes: int) -> None:
        self._parts: dict[bytes, bytearray] = {}
        self._part: bytearray | None = None
        self._limits = {FIELD: max_bytes, TOP_K: MAX_TOP_K_BYTES}
        self._name = b""
        self._ended = False
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise MalformedRequest(str(error)) from error

    def feed(self, chunk: bytes) -> None:
        """Parse the next part of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequest(f"broken multipart body ({error})") from error

    def close(self) -> Upload:
        """What was sent, once the whole body was fed."""
        if not self._ended:
            raise MalformedRequest("the multipart body ends before its last boundary")
        if FIELD not in self._parts:
            raise MalformedRequest(f"no multipart field {FIELD.decode()!r}")
        top_k = self._parts.get(TOP_K)
        return Upload(bytes(self._parts[FIELD]), None if top_k is None else top_k.decode("utf-8", "replace"))

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"")
        self._part = None
        if self._name not in self._limits:
            return
        if self._name in self._parts:
            raise MalformedRequest(f"two multipart fields {self._name.decode()!r}: send one per request")
        self._part = self._parts[self._name] = bytearray()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part is None:
            return
        self._part += data[start:end]
        if len(self._part) > self._limits[self._name]:
            raise UploadTooLarge(self._limits[self._name])

    def _on_end(self) -> None:
        self._ended = True
