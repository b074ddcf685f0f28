"""What a phone's decoder hands over, played by Pillow: RGBA rows, not multiplied by alpha, not turned."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.phone import native_port as port

ORIENTATION = 0x0112


@dataclass(frozen=True)
class Rows:
    """`port.Decoded` of uint8 [H, W, 4]."""

    pixels: NDArray[np.uint8]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    def read(self, row: int, line: NDArray[np.uint8]) -> None:
        line[:] = self.pixels[row].ravel()


@dataclass(frozen=True)
class Opened:
    """A decoded file, its EXIF orientation, and by how much it is still to be averaged down."""

    rows: Rows
    orientation: int
    factor: int


def opened(data: bytes, *, samples_jpegs: bool) -> Opened:
    """`samples_jpegs`: a large JPEG is decoded at 1/2, 1/4 or 1/8, as Android does; iOS decodes it whole."""
    with Image.open(BytesIO(data)) as image:
        factor = port.reduction(image.width, image.height)
        if image.format == "JPEG" and factor > 1:
            factor = port.jpegReduction(image.width, image.height)
            if samples_jpegs:
                image.draft(None, (image.width // factor, image.height // factor))
                factor = 1
        image.load()
        orientation = image.getexif().get(ORIENTATION, 1)
        return Opened(Rows(_rgba(image)), orientation, factor)


def _rgba(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return np.array(image.convert("RGBA"), dtype=np.uint8)
