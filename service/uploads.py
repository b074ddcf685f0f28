"""The request's body → the images' bytes: multipart or raw, with the limits enforced while reading."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from service.errors import MalformedRequest, TooManyItems, UploadTooLarge

MAX_FIELD_BYTES = 64
"""Of a small field such as top_k."""
MULTIPART_OVERHEAD: Final = 64 * 1024
"""What boundaries, part headers and small fields may add to the images' bytes."""


class Field(NamedTuple):
    """A field that is kept: bytes and how often it may come."""

    max_bytes: int
    times: int = 1


Fields = Mapping[bytes, Field]
IMAGE, IMAGES, TOP_K = b"image", b"images", b"top_k"


def declared_length(request: Request, otherwise: int) -> int:
    """The body's length as its header claims it, or `otherwise` without one."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and len(declared) <= 18 else otherwise


async def read_upload(request: Request, max_bytes: int) -> tuple[bytes, str | None]:
    """The multipart field `image`, or a raw body of any other content type; and `top_k` where the form has it.

    The type a client claims is not believed: the decoder looks at the bytes.
    Raises: MalformedRequest, UploadTooLarge (before the body is read, when its length is declared).
    """
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data":
        return await read_body(request, max_bytes), None
    fields = {IMAGE: Field(max_bytes), TOP_K: Field(MAX_FIELD_BYTES)}
    form = await _read_form(request, options, fields, max_bytes)
    return form.one(IMAGE), form.text(TOP_K)


async def read_uploads(
    request: Request, max_bytes: int, max_items: int, max_total: int
) -> tuple[list[bytes], str | None]:
    """Every multipart field `images`, in order, and `top_k` where the form has it.

    Raises: MalformedRequest, TooManyItems, UploadTooLarge.
    """
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data":
        raise MalformedRequest("multipart/form-data with one field 'images' per picture was expected")
    fields = {IMAGES: Field(max_bytes, max_items), TOP_K: Field(MAX_FIELD_BYTES)}
    form = await _read_form(request, options, fields, max_total)
    return form.many(IMAGES), form.text(TOP_K)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body. Raises: UploadTooLarge, before it is read when its length is declared."""
    _refuse_declared_length(request, max_bytes)
    return b"".join([chunk async for chunk in _limited(request.stream(), max_bytes)])


async def _read_form(request: Request, options: Mapping[bytes, bytes], fields: Fields, max_total: int) -> ImageForm:
    _refuse_declared_length(request, max_total + MULTIPART_OVERHEAD)
    boundary = options.get(b"boundary")
    if not boundary:
        raise MalformedRequest("multipart/form-data without a boundary")
    form = ImageForm(boundary, fields)
    async for chunk in _limited(request.stream(), max_total + MULTIPART_OVERHEAD):
        form.feed(chunk)
    form.close()
    return form


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
    """A multipart form of which only `fields` are kept, in memory: nothing is spooled to disk.

    Raises: MalformedRequest on a broken form or a field that comes too often; TooManyItems; UploadTooLarge.
    """

    def __init__(self, boundary: bytes, fields: Fields) -> None:
        self._fields = fields
        self._parts: dict[bytes, list[bytearray]] = {}
        self._part: bytearray | None = None
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

    def close(self) -> None:
        """The whole body was fed."""
        if not self._ended:
            raise MalformedRequest("the multipart body ends before its last boundary")

    def one(self, name: bytes) -> bytes:
        """The field's content. Raises: MalformedRequest when it was not sent."""
        return self.many(name)[0]

    def many(self, name: bytes) -> list[bytes]:
        """Every content of the field, at least one. Raises: MalformedRequest."""
        if name not in self._parts:
            raise MalformedRequest(f"no multipart field {name.decode()!r}")
        return [bytes(part) for part in self._parts[name]]

    def text(self, name: bytes) -> str | None:
        """The field as text; None when it was not sent."""
        parts = self._parts.get(name)
        return None if parts is None else parts[0].decode("utf-8", "replace")

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
        field = self._fields.get(self._name)
        if field is None:
            return
        parts = self._parts.setdefault(self._name, [])
        if len(parts) >= field.times > 1:
            raise TooManyItems(field.times)
        if len(parts) >= field.times:
            raise MalformedRequest(f"two multipart fields {self._name.decode()!r}: send one per request")
        self._part = bytearray()
        parts.append(self._part)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part is None:
            return
        self._part += data[start:end]
        limit = self._fields[self._name].max_bytes
        if len(self._part) > limit:
            raise UploadTooLarge(limit)

    def _on_end(self) -> None:
        self._ended = True
