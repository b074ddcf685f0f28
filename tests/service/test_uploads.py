from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import MalformedRequest, RequestError, UploadTooLarge
from service.uploads import ImageForm, Upload

BOUNDARY = b"frontier"


def part(name: str, content: bytes, headers: bytes = b"") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n'.encode()
    return b"--" + BOUNDARY + b"\r\n" + disposition + headers + b"\r\n" + content + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"


def parse(body: bytes, step: int = 10_000, limit: int = 10_000) -> Upload:
    form = ImageForm(BOUNDARY, limit)
    for start in range(0, len(body), step):
        form.feed(body[start : start + step])
    return form.close()


@settings(max_examples=200)
@given(st.binary(max_size=300), st.integers(1, 400))
def test_any_content_comes_out_whatever_the_chunks(content: bytes, step: int) -> None:
    if BOUNDARY in content:
        return
    body = part("top_k", b"3") + part("image", content, b"Content-Type: image/jpg\r\n") + part("note", b"x") + END
    assert parse(body, step) == Upload(content, "3")


def test_an_empty_image_is_still_an_image() -> None:
    assert parse(part("image", b"") + END) == Upload(b"", None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (part("picture", b"x") + END, "no multipart field 'image'"),
        (END, "no multipart field 'image'"),
        (b"", "ends before its last boundary"),
        (part("image", b"x"), "ends before its last boundary"),
        (part("image", b"x") + part("image", b"y") + END, "two multipart fields"),
        (b"no multipart at all", "broken multipart body"),
        (b"--" + BOUNDARY + b"\r\nno colon\r\n\r\nx\r\n" + END, "broken multipart body"),
        (b"--" + BOUNDARY + b"\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(99)) + b"\r\nx", "broken multipart"),
    ],
)
def test_a_broken_form_is_malformed(body: bytes, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message):
        parse(body)


def test_a_small_field_stays_small() -> None:
    with pytest.raises(UploadTooLarge, match="larger than 64 bytes"):
        parse(part("top_k", b"1" * 65) + part("image", b"x") + END)


def test_a_boundary_that_is_too_long_is_malformed() -> None:
    with pytest.raises(MalformedRequest, match="oundary"):
        ImageForm(b"b" * 10_000, 10)


def test_the_limit_is_of_the_image_and_inclusive() -> None:
    assert parse(part("image", b"x" * 50) + END, limit=50).image == b"x" * 50
    with pytest.raises(UploadTooLarge, match="larger than 50 bytes"):
        parse(part("image", b"x" * 51) + END, limit=50)


@settings(max_examples=300)
@given(st.data())
def test_damaged_forms_give_bytes_or_a_request_error(data: st.DataObject) -> None:
    body = bytearray(part("note", b"n") + part("image", b"content") + END)
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RequestError):
        assert isinstance(parse(bytes(body[: data.draw(st.integers(0, len(body)))]), 7), Upload)
