"""Numbers as pictures: maps, filters and heat, in colours that grow evenly brighter."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Values = NDArray[np.float32]

_VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_INFERNO = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))

_GAP = 2
_BACKGROUND = 128
_MAP_PIXELS, _FILTER_PIXELS = 96, 56
"""At least so wide is a single map or filter in its sheet."""


def map_sheet(maps: Values) -> Image.Image:
    """float32 [C, H, W] → a sheet of C tiles, each stretched over its own range."""
    low = maps.min(axis=(1, 2), keepdims=True)
    span = np.maximum(maps.max(axis=(1, 2), keepdims=True) - low, 1e-12)
    return _sheet(
        [_colours((tile - base) / width, _VIRIDIS) for tile, base, width in zip(maps, low, span, strict=True)]
    )


def filter_sheet(weights: Values) -> Image.Image:
    """float32 [O, I, K, K] → a sheet of O tiles: in colour for three inputs, else the mean over the inputs in grey.

    Each filter is scaled by its largest weight; no weight is medium grey.
    """
    colour = weights if weights.shape[1] == 3 else weights.mean(axis=1, keepdims=True).repeat(3, axis=1)
    largest = np.maximum(np.abs(colour).max(axis=(1, 2, 3), keepdims=True), 1e-12)
    pixels = (colour / largest * 127.5 + 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
    return _sheet(list(pixels), at_least=_FILTER_PIXELS)


def overlay(picture: Image.Image, heat: Values) -> Image.Image:
    """The picture with `heat`, float32 [h, w] in 0..1, laid over it; where it is cold the picture shows."""
    small = Image.fromarray((heat * 255).astype(np.uint8))
    warm = np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC), dtype=np.float32)[..., None] / 255
    colour = _colours(warm[..., 0], _INFERNO).astype(np.float32)
    share = 0.15 + 0.6 * warm
    mixed = np.asarray(picture, dtype=np.float32) * (1 - share) + colour * share
    return Image.fromarray(mixed.astype(np.uint8))


def data_uri(image: Image.Image) -> str:
    """The image inside an address, for pages that are one file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _colours(values: NDArray[np.floating[Any]], stops: tuple[tuple[int, int, int], ...]) -> NDArray[np.uint8]:
    """[H, W] in 0..1 → uint8 [H, W, 3] between evenly spaced stops."""
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(values, places, [stop[channel] for stop in stops]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _sheet(tiles: list[NDArray[np.uint8]], at_least: int = _MAP_PIXELS) -> Image.Image:
    """uint8 [H, W, 3] tiles side by side in rows, enlarged in whole steps so that single values stay visible."""
    height, width = tiles[0].shape[:2]
    zoom = max(1, math.ceil(at_least / width))
    across = min(len(tiles), 8 if width * zoom <= 128 else 4)
    down = math.ceil(len(tiles) / across)
    high, wide = height * zoom + _GAP, width * zoom + _GAP
    sheet = np.full((down * high - _GAP, across * wide - _GAP, 3), _BACKGROUND, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // across * high, index % across * wide
        large = tile.repeat(zoom, axis=0).repeat(zoom, axis=1)
        sheet[top : top + high - _GAP, left : left + wide - _GAP] = large
    return Image.fromarray(sheet)
