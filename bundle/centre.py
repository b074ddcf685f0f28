"""Resize and crop, without the pixels that the crop throws away: bit for bit what Pillow's `resize` and `crop` give.

Pillow resizes the columns, rounds to uint8, and resizes the rows. Done one after the other, what lies outside of the
crop's columns is gone before the rows are resized. Where a side is resized to a power of two, only the crop's own part
of it is asked for, by a `box`: all of Pillow's arithmetic with it is exact then, and gives a pixel the same weights
from wherever it is counted. Elsewhere they would differ by rounding errors, and a pixel now and then by 1.
"""

from __future__ import annotations

from PIL import Image

FRACTION_BITS = 24
"""Of a float32: Pillow keeps a box in those."""

Size = tuple[int, int]
Corners = tuple[int, int, int, int]


def resize_to_crop(image: Image.Image, size: Size, corners: Corners, resampling: Image.Resampling) -> Image.Image:
    """`image.resize(size, resampling).crop(corners)`; `corners` (left, top, right, bottom) lie inside of `size`."""
    if _rows_come_first(image.size, size):
        return image.resize(size, resampling).crop(corners)
    (width, height), (left, top, right, bottom) = size, corners
    if _exact(image.width, width):
        scale = image.width / width
        columns_box = (left * scale, 0, right * scale, image.height)
        columns = image.resize((right - left, image.height), resampling, box=columns_box)
    else:
        columns = image.resize((width, image.height), resampling).crop((left, 0, right, image.height))
    if _exact(image.height, height):
        scale = image.height / height
        rows_box = (0, top * scale, columns.width, bottom * scale)
        return columns.resize((columns.width, bottom - top), resampling, box=rows_box)
    return columns.resize((columns.width, height), resampling).crop((0, top, columns.width, bottom))


def _rows_come_first(before: Size, after: Size) -> bool:
    """Whether Pillow (from 13.0 on) resizes the rows first: where the height shrinks by much more than the width."""
    return before[1] > after[1] and before[1] - after[1] > 2 * (before[0] - after[0])


def _exact(before: int, after: int) -> bool:
    """Whether every multiple of before/after up to `before` is a float32."""
    return after & (after - 1) == 0 and before * after <= 2**FRACTION_BITS
