from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bundle.errors import (
    EmptyImage,
    ImageError,
    MalformedImage,
    TooManyBytes,
    TooManyPixels,
    UnreadableImage,
    UnsupportedImage,
)
from bundle.image import DecodeLimits, decode
from tests.pictures import encode, noise


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_reads_every_format_that_it_names(format: str) -> None:
    image = decode(encode(noise(40, 30), format))
    assert (image.mode, image.size) == ("RGB", (40, 30))


def test_reads_a_path(tmp_path) -> None:
    path = tmp_path / "picture.png"
    noise(12, 10).save(path)
    assert decode(path).size == (12, 10)


def upright() -> np.ndarray:
    """Four corners that differ, so that every turn and flip shows."""
    pixels = np.zeros((16, 24, 3), dtype=np.uint8)
    pixels[:8, :12], pixels[:8, 12:] = (255, 0, 0), (0, 255, 0)
    pixels[8:, :12], pixels[8:, 12:] = (0, 0, 255), (255, 255, 0)
    return pixels


STORED = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright())))
    options = {"lossless": True} if format == "WEBP" else {}
    np.testing.assert_array_equal(np.asarray(decode(encode(stored, format, exif=exif, **options))), upright())


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(np.asarray(decode(encode(Image.fromarray(upright()), exif=exif))), upright())


@pytest.mark.parametrize(("mode", "clear"), [("RGBA", (10, 200, 30, 0)), ("LA", (10, 0))])
def test_alpha_is_composited_on_white(mode: str, clear: tuple[int, ...]) -> None:
    assert decode(encode(Image.new(mode, (4, 4), clear))).getpixel((1, 1)) == (255, 255, 255)


def test_half_transparent_black_is_grey() -> None:
    assert decode(encode(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))).getpixel((0, 0)) == (127, 127, 127)


def test_a_transparent_palette_entry_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([9, 9, 9, 200, 100, 50])
    image.putdata([0, 1])
    decoded = decode(encode(image, transparency=0))
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 100, 50)]


def test_16_bit_grey_keeps_its_high_byte() -> None:
    image = Image.fromarray(np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16))
    for format in ("PNG", "TIFF"):
        assert [value[0] for value in np.asarray(decode(encode(image, format)))[0]] == [0, 0, 1, 128, 255]


def test_cmyk_becomes_rgb() -> None:
    red = decode(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)).getpixel((4, 4))
    assert red[0] > 200 > 60 > max(red[1:])


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr"])
def test_other_modes_become_rgb(mode: str) -> None:
    format = "JPEG" if mode == "YCbCr" else "PNG"
    assert decode(encode(noise(9, 7, mode=mode), format)).mode == "RGB"


def test_float_pixels_are_refused_rather_than_guessed() -> None:
    with pytest.raises(UnreadableImage, match="no defined white"):
        decode(encode(Image.new("F", (4, 4), 0.5), "TIFF"))


def test_only_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert decode(data).getpixel((3, 3)) == (255, 0, 0)


def test_an_empty_file_has_its_own_error() -> None:
    with pytest.raises(EmptyImage):
        decode(b"")


def test_the_byte_limit_holds_for_bytes_and_paths(tmp_path) -> None:
    data = encode(noise(30, 30))
    (tmp_path / "picture.png").write_bytes(data)
    for source in (data, tmp_path / "picture.png"):
        assert decode(source, DecodeLimits(max_bytes=len(data))).size == (30, 30)
        with pytest.raises(TooManyBytes, match=str(len(data) - 1)):
            decode(source, DecodeLimits(max_bytes=len(data) - 1))


def test_the_pixel_limit_is_inclusive() -> None:
    data = encode(noise(30, 20))
    assert decode(data, DecodeLimits(max_pixels=600)).size == (30, 20)
    with pytest.raises(TooManyPixels, match="30x20"):
        decode(data, DecodeLimits(max_pixels=599))


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(7100, 7100), (13000, 13000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(TooManyPixels):
        decode(png_claiming(*size))


def test_a_format_that_is_switched_off_is_unsupported() -> None:
    with pytest.raises(UnsupportedImage, match="JPEG, PNG"):
        decode(encode(noise(8, 8), "TIFF"), DecodeLimits(formats=("JPEG", "PNG")))


@pytest.mark.parametrize("data", [b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        decode(data)


def test_a_truncated_file_is_unreadable_and_says_so_on_one_line() -> None:
    data = encode(noise(200, 200), "JPEG")
    with pytest.raises(UnreadableImage, match="truncated") as caught:
        decode(data[: len(data) // 2])
    assert "\n" not in str(caught.value)


def test_a_broken_header_is_malformed() -> None:
    bitmap = bytearray(encode(noise(8, 8), "BMP"))
    bitmap[46:50] = struct.pack("<I", 0xFF00FF06)  # the palette's size
    bitmap[28:30] = struct.pack("<H", 8)
    with pytest.raises(MalformedImage):
        decode(bytes(bitmap))


SEEDS = [encode(noise(24, 18), format) for format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]


@settings(max_examples=300)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_files_give_an_image_or_an_image_error(seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(damaged)))
    try:
        image = decode(bytes(damaged[:cut]), DecodeLimits(max_pixels=1_000_000))
    except ImageError as error:
        assert "\n" not in str(error)
    else:
        assert image.mode == "RGB"


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_random_bytes_give_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode(data)
