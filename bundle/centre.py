"""Resize and crop, without the pixels that the crop throws away: bit for bit what Pillow's `resize` and `crop` give.

Pillow resizes the columns, rounds to uint8, and resizes the rows. Done one after the other, the columns outside of the
crop are gone before the rows are resized. Along the short side only the crop's own part is asked for, by a `box`, and
rows without a part in it are not even read: it begins at a whole number of 1/`short`, and where that is a power of two
all of Pillow's arithmetic with it is exact, so that a pixel's weights are the same from wherever it is counted. Along
the long side they would differ by rounding errors, and a pixel now and then by 1.
"""

from __future__ import annotations

import math

from PIL import Image

FRACTION_BITS = 24
"""Of a float32: Pillow keeps a box in those."""
REACH = 2
"""Pixels to either side that a resampled one is made of, when nothing is made smaller (bicubic; bilinear has 1)."""

Size = tuple[int, int]
Corners = tuple[int, int, int, int]


def resize_to_crop(image: Image.Image, size: Size, corners: Corners, resampling: Image.Resampling) -> Image.Image:
    """`image.resize(size, resampling).crop(corners)`; `corners` (left, top, right, bottom) lie inside of `size`."""
    if _rows_come_first(image.size, size):
        return image.resize(size, resampling).crop(corners)
    left, top, right, bottom = corners
    if size[1] <= size[0] and _exact(image.height, size[1]):
        image, above, below = _needed_rows(image, size[1], top, bottom)
        columns = image.resize((size[0], image.height), resampling).crop((left, 0, right, image.height))
        return columns.resize((columns.width, bottom - top), resampling, box=(0, above, columns.width, below))
    if size[0] <= size[1] and _exact(image.width, size[0]):
        scale = image.width / size[0]
        box = (left * scale, 0, right * scale, image.height)
        columns = image.resize((right - left, image.height), resampling, box=box)
    else:
        columns = image.resize((size[0], image.height), resampling).crop((left, 0, right, image.height))
    return columns.resize((columns.width, size[1]), resampling).crop((0, top, columns.width, bottom))


def _rows_come_first(before: Size, after: Size) -> bool:
    """Whether Pillow (from 13.0 on) resizes the rows first: where the height shrinks by much more than the width."""
    return before[1] > after[1] and before[1] - after[1] > 2 * (before[0] - after[0])


def _exact(before: int, after: int) -> bool:
    """Whether every multiple of before/after up to `before` is a float32."""
    return after & (after - 1) == 0 and before * after <= 2**FRACTION_BITS


def _needed_rows(image: Image.Image, height: int, top: int, bottom: int) -> tuple[Image.Image, float, float]:
    """The rows that `top` to `bottom` of `height` are made of, and where those begin and end among them."""
    scale = image.height / height
    reach = math.ceil(REACH * max(1.0, scale)) + 1
    first = max(0, math.floor(top * scale) - reach)
    last = min(image.height, math.ceil(bottom * scale) + reach)
    return image.crop((0, first, image.width, last)), top * scale - first, bottom * scale - first
