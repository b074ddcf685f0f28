"""The conformance kit: self-made pictures that programs read differently, with the tensors and answers they must give.

Every picture is made here from a fixed seed; none comes from anybody's data.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms

from bundle.golden import Run, write_array
from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess

CASES: Final = "cases.json"
_ORIENTATION = 0x0112
_SEED = 20_110


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB picture with smooth colours, hard edges and a different look in each corner."""
    generator = np.random.default_rng(_SEED + seed)
    small = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    for number in range(12):
        left, top = int(generator.integers(0, width)), int(generator.integers(0, height))
        colour = tuple(int(value) for value in generator.integers(0, 256, 3))
        picture.paste(colour, (left, top, left + max(1, width // (4 + number)), top + max(1, height // 9)))
    return picture


def pictures() -> Iterator[tuple[str, bytes]]:
    """(file name, the file's bytes) of every picture of the kit."""
    yield from _jpegs()
    yield from _see_through()
    yield from _samples()
    yield from _shapes()
    yield "animation.gif", _encoded(scene(160, 120), "GIF", save_all=True, append_images=[scene(160, 120, 1)])
    yield "plain.bmp", _encoded(scene(200, 150), "BMP")
    yield "plain.tif", _encoded(scene(200, 150), "TIFF")


def write_kit(root: Path, spec: Preprocess, runs: Mapping[str, Run]) -> int:
    """Write cases.json, the pictures, their uint8 tensors and, by target, their float32 [K] answers; returns how many.

    `runs`: target → uint8 [N, H, W, 3] → float32 [N, K].
    """
    root.mkdir(parents=True)
    cases = []
    for name, data in pictures():
        pixels = preprocess(decode(data), spec)
        (root / name).write_bytes(data)
        write_array(root / f"{name}.tensor.npy", pixels)
        answers = {target: f"{name}.{target}.npy" for target in runs}
        for target, run in runs.items():
            write_array(root / answers[target], run(pixels[np.newaxis])[0])
        cases.append({"name": name, "image": name, "tensor": f"{name}.tensor.npy", "answers": answers})
    (root / CASES).write_text(json.dumps({"cases": cases}, indent=1) + "\n", encoding="utf-8")
    return len(cases)


def _encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _jpegs() -> Iterator[tuple[str, bytes]]:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        yield f"exif-{orientation}.jpg", _encoded(scene(320, 240), "JPEG", quality=92, exif=exif)
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    yield "exif-6.png", _encoded(scene(320, 240), "PNG", exif=exif)
    yield "exif-6.webp", _encoded(scene(320, 240), "WEBP", exif=exif, lossless=True)
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"chroma-{name}.jpg", _encoded(scene(401, 303, 2), "JPEG", quality=85, subsampling=subsampling)
    yield "progressive.jpg", _encoded(scene(400, 300, 3), "JPEG", quality=80, progressive=True)
    yield "grey.jpg", _encoded(scene(320, 240, 4).convert("L"), "JPEG", quality=90)
    yield "cmyk.jpg", _encoded(scene(320, 240, 5).convert("CMYK"), "JPEG", quality=92)
    # A reader that converts to sRGB exchanges red and blue; the training read the numbers as they stand.
    yield "other-profile.jpg", _encoded(scene(320, 240, 6), "JPEG", quality=92, icc_profile=_exchanged_profile())


def _see_through() -> Iterator[tuple[str, bytes]]:
    picture = scene(240, 180, 7).convert("RGBA")
    ramp = np.linspace(0, 255, 240, dtype=np.uint8)[np.newaxis].repeat(180, axis=0)
    picture.putalpha(Image.fromarray(ramp))
    yield "alpha.png", _encoded(picture, "PNG")
    yield "alpha-grey.png", _encoded(picture.convert("LA"), "PNG")
    yield "alpha.webp", _encoded(picture, "WEBP", lossless=True, exact=True)
    yield "transparent-colour.png", _encoded(scene(240, 180, 8).quantize(32), "PNG", transparency=3)
    yield "transparent-colour.gif", _encoded(scene(240, 180, 8).quantize(32), "GIF", transparency=3)


def _samples() -> Iterator[tuple[str, bytes]]:
    yield "grey.png", _encoded(scene(320, 240, 9).convert("L"), "PNG")
    yield "two-colours.png", _encoded(scene(320, 240, 9).convert("1"), "PNG")
    ramp = np.linspace(0, 65_535, 320).astype(np.uint16)[np.newaxis].repeat(240, axis=0)
    yield "grey-16.png", _encoded(Image.fromarray(ramp), "PNG")
    yield "colour-16.png", _png_16(np.asarray(scene(320, 240, 10)))
    yield "lossy.webp", _encoded(scene(320, 240, 11), "WEBP", quality=80)


def _shapes() -> Iterator[tuple[str, bytes]]:
    yield "wide.png", _encoded(scene(900, 120, 12), "PNG")
    yield "tall.jpg", _encoded(scene(120, 900, 13), "JPEG", quality=90)
    yield "strip.png", _encoded(scene(20, 2000, 14), "PNG")
    yield "one-pixel.png", _encoded(scene(1, 1, 15), "PNG")
    yield "tiny.png", _encoded(scene(7, 5, 16), "PNG")
    yield "phone-12-megapixels.jpg", _encoded(scene(4032, 3024, 17), "JPEG", quality=60)
    yield "over-16-megapixels.jpg", _encoded(scene(5000, 3600, 18), "JPEG", quality=50)
    yield "over-16-megapixels.png", _encoded(scene(5000, 3600, 18).quantize(16), "PNG")


def _exchanged_profile() -> bytes:
    """sRGB with the primaries of red and blue exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = {bytes(profile[at : at + 4]): at + 4 for at in range(132, 132 + 12 * count, 12)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    profile[red : red + 8], profile[blue : blue + 8] = profile[blue : blue + 8], profile[red : red + 8]
    return bytes(profile)


def _png_16(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """uint8 [H, W, 3] as a PNG of 16 bits whose low bytes round up; Pillow writes no such file."""
    height, width, _ = pixels.shape
    wide = pixels.astype(">u2") * 256 + 200
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body
