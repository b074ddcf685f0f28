from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import MalformedRequest, RequestError, TooManyItems, UploadTooLarge
from service.uploads import IMAGE, IMAGES, TOP_K, Field, ImageForm

BOUNDARY = b"frontier"


def part(name: str, content: bytes, headers: bytes = b"") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n'.encode()
    return b"--" + BOUNDARY + b"\r\n" + disposition + headers + b"\r\n" + content + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"


def fed(body: bytes, fields: dict[bytes, Field], step: int = 10_000) -> ImageForm:
    form = ImageForm(BOUNDARY, fields)
    for start in range(0, len(body), step):
        form.feed(body[start : start + step])
    form.close()
    return form


def parse(body: bytes, step: int = 10_000, limit: int = 10_000) -> tuple[bytes, str | None]:
    form = fed(body, {IMAGE: Field(limit), TOP_K: Field(64)}, step)
    return form.one(IMAGE), form.text(TOP_K)


@settings(max_examples=200)
@given(st.binary(max_size=300), st.integers(1, 400))
def test_any_content_comes_out_whatever_the_chunks(content: bytes, step: int) -> None:
    if BOUNDARY in content:
        return
    body = part("top_k", b"3") + part("image", content, b"Content-Type: image/jpg\r\n") + part("note", b"x") + END
    assert parse(body, step) == (content, "3")


def test_an_empty_image_is_still_an_image() -> None:
    assert parse(part("image", b"") + END) == (b"", None)


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
        ImageForm(b"b" * 10_000, {})


def test_several_images_come_in_order_and_are_counted() -> None:
    body = part("images", b"a") + part("image", b"x") + part("images", b"") + part("images", b"c") + END
    assert fed(body, {IMAGES: Field(10, 3)}, 5).many(IMAGES) == [b"a", b"", b"c"]
    with pytest.raises(TooManyItems, match="more than 2 images"):
        fed(body, {IMAGES: Field(10, 2)})
    with pytest.raises(MalformedRequest, match="no multipart field 'images'"):
        fed(END, {IMAGES: Field(10, 2)}).many(IMAGES)


def test_the_limit_is_of_the_image_and_inclusive() -> None:
    assert parse(part("image", b"x" * 50) + END, limit=50)[0] == b"x" * 50
    with pytest.raises(UploadTooLarge, match="larger than 50 bytes"):
        parse(part("image", b"x" * 51) + END, limit=50)


@settings(max_examples=300)
@given(st.data())
def test_damaged_forms_give_bytes_or_a_request_error(data: st.DataObject) -> None:
    body = bytearray(part("note", b"n") + part("image", b"content") + END)
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RequestError):
        assert isinstance(parse(bytes(body[: data.draw(st.integers(0, len(body)))]), 7)[0], bytes)
