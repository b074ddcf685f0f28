"""Bytes or a path → an upright RGB image, within limits. The only decoder in the project.

Pillow decodes; this module decides what is let in and gives every failure its own error.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from bundle.errors import (
    EmptyImage,
    MalformedImage,
    TooCostly,
    TooManyBytes,
    TooManyPixels,
    UnreadableImage,
    UnsupportedImage,
)
from bundle.large import LARGE_PIXELS, MAX_DECODE_BYTES, STRIP_PIXELS, decode_bytes, draft_size, in_strips

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What can be read. Not EPS (Pillow would start Ghostscript), not the rare formats nobody fuzzes."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")

# Pillow only warns between its own limit and twice that limit; the limit here is smaller and an error,
# so the warning could only reach a server's log once per picture.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# What Pillow says of a damaged but readable file (a broken MPO header, a truncated tag) is no news to a server.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class DecodeLimits:
    """What one picture may cost: `max_bytes` of file, `max_pixels` once decoded, `formats` (Pillow's names)."""

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 50_000_000
    formats: tuple[str, ...] = FORMATS


DEFAULT_LIMITS = DecodeLimits()


def read_image_bytes(path: Path, limits: DecodeLimits = DEFAULT_LIMITS) -> bytes:
    """The file's bytes; at most one byte more than the limit is ever read.

    Raises: TooManyBytes, OSError.
    """
    with path.open("rb") as file:
        data = file.read(limits.max_bytes + 1)
    if len(data) > limits.max_bytes:
        raise TooManyBytes(limits.max_bytes)
    return data


def decode(source: bytes | Path, limits: DecodeLimits = DEFAULT_LIMITS) -> Image.Image:
    """Decode the first frame to an upright RGB image: EXIF orientation applied, alpha composited on white.

    Beyond `bundle.large.LARGE_PIXELS` it is also averaged down, and no picture takes more than MAX_DECODE_BYTES.
    Raises: EmptyImage, TooManyBytes, TooManyPixels, TooCostly, UnsupportedImage, MalformedImage, UnreadableImage;
    OSError when `source` is a path that cannot be opened.
    """
    data = read_image_bytes(source, limits) if isinstance(source, Path) else source
    if not data:
        raise EmptyImage()
    if len(data) > limits.max_bytes:
        raise TooManyBytes(limits.max_bytes)
    image = _open(data, limits)
    if image.width * image.height > limits.max_pixels:
        raise TooManyPixels(image.size, limits.max_pixels)
    try:
        if (need := decode_bytes(image, data)) > MAX_DECODE_BYTES:
            raise TooCostly(image.format, image.mode, image.size, need, MAX_DECODE_BYTES)
        if (size := draft_size(image.size)) is not None:
            image.draft(None, size)  # does nothing but for a JPEG
        image.load()
        orientation = _orientation(image)  # a TIFF is upright only now, a PNG may say it behind its pixels
        picture = _to_rgb(image) if _converts_whole(image) else in_strips(image, _to_rgb)
        del image  # or a rotated picture would be there three times
        return _upright(picture, orientation)
    except (UnreadableImage, TooCostly):
        raise
    except _BOMBS as error:
        raise TooManyPixels(None, limits.max_pixels) from error
    except Exception as error:  # Pillow's plugins raise anything on damaged input, TypeError and struct.error too
        raise UnreadableImage(_reason(error)) from error


def _open(data: bytes, limits: DecodeLimits) -> Image.Image:
    """Read the header only."""
    try:
        return Image.open(BytesIO(data), formats=limits.formats)
    except _BOMBS as error:
        raise TooManyPixels(None, limits.max_pixels) from error
    except UnidentifiedImageError as error:
        raise UnsupportedImage(limits.formats) from error
    except Exception as error:  # as in decode
        raise MalformedImage(_reason(error)) from error


def _reason(error: Exception) -> str:
    """One short line: Pillow's own words, without the address of a buffer or a line break."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def _converts_whole(image: Image.Image) -> bool:
    """Small, or nothing to convert: strips would only cost time."""
    pixels = image.width * image.height
    return pixels <= STRIP_PIXELS or (
        image.mode == "RGB" and pixels <= LARGE_PIXELS and not image.has_transparency_data
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # The high byte, as libpng gives it for 16-bit colour; Pillow's own conversion would clip to white.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadableImage(f"mode {image.mode}: 32-bit samples have no defined white; convert it to 8 or 16 bits")
    if image.has_transparency_data:
        picture = image if image.mode == "RGBA" else image.convert("RGBA")
        # Pasting takes 9 bytes a pixel beside the picture; alpha_composite and two conversions took 16.
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing of the pixels, which are already decoded
        return 1
    return value if isinstance(value, int) else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
