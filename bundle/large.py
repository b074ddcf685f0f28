"""What a picture costs to decode, and how a large one is made small before it becomes RGB.

Pillow holds 4 bytes a pixel for colour, formats need more beside it, and every conversion makes a copy. So the need
is estimated from the header, and a form that would take more than MAX_DECODE_BYTES is refused before its pixels are
expanded. tests/bundle/test_large.py measures the estimates.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

LARGE_PIXELS = 4096 * 4096
"""Pictures up to here are decoded whole and keep every bit; beyond, they are averaged down while they are converted."""
KEPT_SHORT_SIDE = 1024
"""A large picture keeps at least this, where halving it once leaves as much: four times what most networks take."""
MAX_DECODE_BYTES = 196_500_000
"""Of one picture, besides its file and the 2 MB that Pillow takes for any."""
STRIP_PIXELS = 512 * 1024
_STRIP_BYTES = 10 * STRIP_PIXELS
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_RGB_BYTES = 4
_WEBP_BYTES = 12
"""Two canvases and the copy that Pillow takes of one: libwebp is used through its animation decoder."""
_WEBP_LOSSLESS_BYTES = 2
_JPEG_COEFFICIENT_BYTES = 2


def reduction(size: tuple[int, int]) -> int:
    """By how much a large picture's sides are divided; 1 for every other."""
    width, height = size
    return 1 if width * height <= LARGE_PIXELS else max(2, min(width, height) // KEPT_SHORT_SIDE)


def draft_size(size: tuple[int, int]) -> tuple[int, int] | None:
    """What a large JPEG may be decoded to by its own scaling (1/2, 1/4, 1/8); None for every other."""
    factor = reduction(size)
    return None if factor == 1 else (max(1, size[0] // factor), max(1, size[1] // factor))


def decode_bytes(image: Image.Image, data: bytes) -> int:
    """Estimated bytes of decoding an image of which only the header was read."""
    pixels, factor = image.width * image.height, reduction(image.size)
    native = _BYTES.get(image.mode, 4)
    if image.format in ("JPEG", "MPO"):
        scale = max(step for step in (1, 2, 4, 8) if step <= factor)
        stored = _jpeg_coefficients(image, data)
        return int(pixels * max(stored + native / scale**2, (native + _RGB_BYTES) / scale**2))
    copies = native != _RGB_BYTES or image.mode != "RGB" or factor > 1
    converted = _RGB_BYTES / factor**2 if copies else 0.0
    if image.format == "WEBP":
        extra = 0 if b"VP8 " in data[: 1 << 20] and b"VP8L" not in data[: 1 << 20] else _WEBP_LOSSLESS_BYTES
        native += _WEBP_BYTES + extra
    return int(pixels * (native + converted)) + (_STRIP_BYTES if copies else 0)


def _jpeg_coefficients(image: Image.Image, data: bytes) -> float:
    """Bytes a pixel that libjpeg keeps until the last scan; 0 when every scan has all there is of its pixels."""
    layers = getattr(image, "layer", [])
    if not layers or not (image.info.get("progressive") or _first_scan_components(data) < len(layers)):
        return 0.0
    widest = max(layer[1] for layer in layers) * max(layer[2] for layer in layers) or 1
    samples: int = sum(layer[1] * layer[2] for layer in layers)
    return _JPEG_COEFFICIENT_BYTES * samples / float(widest)


def _first_scan_components(data: bytes) -> int:
    """How many components the first scan has; 0 where none is found."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == 0xDA:
            return data[position + 4] if position + 4 < len(data) else 0
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return 0


def in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`convert` to RGB strip by strip and, where the picture is large, averaged down: two whole copies never exist.

    For a picture that is not large it gives bit for bit what `convert` gives of the whole.
    """
    factor = reduction(image.size)
    across, down = min(factor, image.width), min(factor, image.height)
    rows = max(1, STRIP_PIXELS // image.width // down) * down
    size = (-(-image.width // across), -(-image.height // down))
    result = Image.new("RGB", size)
    for top in range(0, image.height, rows):
        strip = convert(image.crop((0, top, image.width, min(top + rows, image.height))))
        result.paste(strip.reduce((across, down)) if factor > 1 else strip, (0, top // down))
    return result
