"""The Kotlin of phone/android and the Swift of phone/ios in Python, line by line, so that their pixels can be tested.

Names, order and types are theirs: int32 where they have Int or Int32, float32 where they have Float. Only the loops
over the pixels of a row are one numpy statement each (KERNELS); tests/phone/test_native.py compares everything else
with the sources, and the two sources with each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Doubles = NDArray[np.float64]

KERNELS = {
    "addRow",
    "clipRow",
    "resampleRow",
    "begun",
    "blendOnWhite",
    "addBlocks",
    "averageBlocks",
    "placeRow",
}
"""Functions whose loops over pixels, channels or taps are numpy's here."""

PRECISION_BITS = 32 - 8 - 2
HALF = 1 << (PRECISION_BITS - 1)
MAX_ASPECT = 64
LARGE_PIXELS = 4096 * 4096
KEPT_SHORT_SIDE = 1024
MAX_PIXELS = 50_000_000
RECIPROCAL_BITS = 24


@dataclass(frozen=True)
class Preprocess:
    resize: int
    crop: int
    interpolation: str


@dataclass(frozen=True)
class Taps:
    starts: Ints
    counts: Ints
    weights: Ints
    stride: int


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    rgb: Bytes


class Decoded(Protocol):
    width: int
    height: int

    def read(self, row: int, line: Bytes) -> None: ...


def indices(count: int) -> Ints:
    return np.zeros(count, np.int32)


def fixed(count: int) -> Ints:
    return np.zeros(count, np.int32)


def doubles(count: int) -> Doubles:
    return np.zeros(count, np.float64)


def bytes(count: int) -> Bytes:
    return np.zeros(count, np.uint8)


def value(byte: Bytes) -> Ints:
    return byte.astype(np.int32)


def support(interpolation: str) -> float:
    if interpolation == "bicubic":
        return 2.0
    return 1.0


def weight(interpolation: str, distance: float) -> float:
    x = abs(distance)
    if interpolation == "bicubic":
        a = -0.5
        if x < 1:
            return ((a + 2) * x - (a + 3)) * x * x + 1
        if x < 2:
            return (((x - 5) * x + 8) * x - 4) * a
        return 0.0
    if x < 1:
        return 1 - x
    return 0.0


def fixedPoint(share: float) -> int:
    if share < 0:
        return int(-0.5 + share * float(1 << PRECISION_BITS))
    return int(0.5 + share * float(1 << PRECISION_BITS))


def taps(
    inSize: int, begin: np.float32, end: np.float32, outSize: int, interpolation: str, first: int, count: int
) -> Taps:
    scale = float(end - begin) / float(outSize)
    filterScale = max(1.0, scale)
    reach = support(interpolation) * filterScale
    inverse = 1 / filterScale
    stride = ceil(reach) * 2 + 1
    starts = indices(count)
    counts = indices(count)
    weights = fixed(count * stride)
    exact = doubles(stride)
    for index in range(count):
        centre = float(begin) + (float(first + index) + 0.5) * scale
        start = max(0, int(centre - reach + 0.5))
        stop = min(inSize, int(centre + reach + 0.5))
        sum = 0.0
        for tap in range(stop - start):
            exact[tap] = weight(interpolation, (float(tap + start) - centre + 0.5) * inverse)
            sum += float(exact[tap])
        if sum == 0.0:
            sum = 1.0
        starts[index] = start
        counts[index] = stop - start
        for tap in range(stop - start):
            weights[index * stride + tap] = fixedPoint(float(exact[tap]) / sum)
    return Taps(starts, counts, weights, stride)


def reachStart(taps: Taps) -> int:
    start = int(taps.starts[0])
    for index in range(taps.starts.size):
        start = min(start, int(taps.starts[index]))
    return start


def reachEnd(taps: Taps) -> int:
    end = 0
    for index in range(taps.starts.size):
        end = max(end, int(taps.starts[index]) + int(taps.counts[index]))
    return end


def clip(sum: Ints) -> Ints:
    return np.maximum(0, np.minimum(255, sum >> PRECISION_BITS))


def addRow(bytes: Bytes, source: int, weight: np.int32, sums: Ints) -> None:
    sums += value(bytes[source : source + sums.size]) * weight


def clipRow(sums: Ints, result: Bytes, target: int) -> None:
    result[target : target + sums.size] = clip(sums)
    sums[:] = HALF


def resampleRow(bytes: Bytes, base: int, across: Taps, result: Bytes, target: int) -> None:
    columns = across.starts.size
    tap = np.minimum(np.arange(across.stride), across.counts[:, np.newaxis] - 1)  # behind the last the weight is 0
    pixel = base // 3 + across.starts[:, np.newaxis] + tap
    weights = across.weights.reshape(columns, across.stride)
    source = value(bytes.reshape(-1, 3)[pixel])
    sums = HALF + np.einsum("ctx,ct->cx", source, weights, dtype=np.int32)
    result[target : target + columns * 3] = clip(sums).ravel()


def rowsThenColumns(picture: Picture, across: Taps, down: Taps) -> Bytes:
    left = reachStart(across)
    columns = reachEnd(across) - left
    rows = down.starts.size
    between = bytes(columns * 3)
    sums = begun(columns * 3)
    result = bytes(rows * across.starts.size * 3)
    for row in range(rows):
        for tap in range(int(down.counts[row])):
            source = ((int(down.starts[row]) + tap) * picture.width + left) * 3
            addRow(picture.rgb, source, down.weights[row * down.stride + tap], sums)
        clipRow(sums, between, 0)
        resampleRow(between, -left * 3, across, result, row * across.starts.size * 3)
    return result


def columnsThenRows(picture: Picture, across: Taps, down: Taps) -> Bytes:
    top = reachStart(down)
    bottom = reachEnd(down)
    rows = down.starts.size
    rowBytes = across.starts.size * 3
    between = bytes((bottom - top) * rowBytes)
    for y in range(top, bottom):
        resampleRow(picture.rgb, y * picture.width * 3, across, between, (y - top) * rowBytes)
    sums = begun(rowBytes)
    result = bytes(rows * rowBytes)
    for row in range(rows):
        for tap in range(int(down.counts[row])):
            source = (int(down.starts[row]) + tap - top) * rowBytes
            addRow(between, source, down.weights[row * down.stride + tap], sums)
        clipRow(sums, result, row * rowBytes)
    return result


def begun(count: int) -> Ints:
    return np.full(count, HALF, np.int32)


def rowsFirst(picture: Picture, width: int, height: int) -> bool:
    return picture.height > height and picture.height - height > 2 * (picture.width - width)


def longSide(short: int, side: int, other: int) -> int:
    return int(float(short * side) / float(other))


def roundHalfEven(value: float) -> int:
    below = floor(value)
    rest = value - below
    if rest > 0.5 or (rest == 0.5 and int(below) % 2 != 0):
        return int(below) + 1
    return int(below)


def preprocess(picture: Picture, spec: Preprocess) -> Bytes:
    crop = spec.crop
    kind = spec.interpolation
    width = spec.resize
    height = spec.resize
    if picture.width <= picture.height:
        height = longSide(spec.resize, picture.height, picture.width)
    else:
        width = longSide(spec.resize, picture.width, picture.height)
    left = roundHalfEven(float(width - crop) / 2.0)
    top = roundHalfEven(float(height - crop) / 2.0)
    if max(width, height) <= MAX_ASPECT * spec.resize:
        across = taps(picture.width, np.float32(0), np.float32(picture.width), width, kind, left, crop)
        down = taps(picture.height, np.float32(0), np.float32(picture.height), height, kind, top, crop)
        if rowsFirst(picture, width, height):
            return rowsThenColumns(picture, across, down)
        return columnsThenRows(picture, across, down)
    x = float(picture.width) / float(width)
    y = float(picture.height) / float(height)
    across = taps(picture.width, np.float32(left * x), np.float32((left + crop) * x), crop, kind, 0, crop)
    down = taps(picture.height, np.float32(top * y), np.float32((top + crop) * y), crop, kind, 0, crop)
    if rowsFirst(picture, crop, crop):
        return rowsThenColumns(picture, across, down)
    return columnsThenRows(picture, across, down)


def reduction(width: int, height: int) -> int:
    if width * height <= LARGE_PIXELS:
        return 1
    return max(2, min(width, height) // KEPT_SHORT_SIDE)


def jpegReduction(width: int, height: int) -> int:
    step = 1
    while step < 8 and step * 2 <= reduction(width, height):
        step = step * 2
    return step


def blendOnWhite(line: Bytes, pixels: int) -> None:
    pixel = line[: pixels * 4].reshape(pixels, 4)
    alpha = value(pixel[:, 3:])
    sum = value(pixel[:, :3]) * alpha + 255 * (255 - alpha) + 128
    pixel[:, :3] = ((sum >> 8) + sum) >> 8


def addBlocks(line: Bytes, pixels: int, factor: int, sums: Ints) -> None:
    pixel = value(line[: pixels * 4].reshape(pixels, 4)[:, :3])
    sums += np.add.reduceat(pixel, np.arange(0, pixels, factor), axis=0).ravel().astype(np.int32)


def averageBlocks(sums: Ints, pixels: int, factor: int, rows: int, row: Bytes) -> None:
    index = np.arange(sums.size, dtype=np.int32)
    count = np.minimum(factor, pixels - index // 3 * factor) * rows
    reciprocal = (1 << RECIPROCAL_BITS) // count
    row[:] = ((sums + count // 2).astype(np.int64) * reciprocal) >> RECIPROCAL_BITS
    sums[:] = 0


def turnedStart(orientation: int, width: int, height: int, y: int) -> int:
    if orientation == 2:
        return y * width + width - 1
    if orientation == 3:
        return (height - 1 - y) * width + width - 1
    if orientation == 4:
        return (height - 1 - y) * width
    if orientation == 5:
        return y
    if orientation == 6:
        return height - 1 - y
    if orientation == 7:
        return (width - 1) * height + height - 1 - y
    if orientation == 8:
        return (width - 1) * height + y
    return y * width


def turnedStep(orientation: int, height: int) -> int:
    if orientation == 2 or orientation == 3:
        return -1
    if orientation == 5 or orientation == 6:
        return height
    if orientation == 7 or orientation == 8:
        return -height
    return 1


def placeRow(row: Bytes, start: int, step: int, rgb: Bytes) -> None:
    pixel = np.arange(row.size // 3)
    rgb.reshape(-1, 3)[start + pixel * step] = row.reshape(-1, 3)


def openPicture(source: Decoded, orientation: int, factor: int) -> Picture:
    width = (source.width + factor - 1) // factor
    height = (source.height + factor - 1) // factor
    rgb = bytes(width * height * 3)
    line = bytes(source.width * 4)
    sums = fixed(width * 3)
    row = bytes(width * 3)
    for y in range(height):
        rows = min(factor, source.height - y * factor)
        for part in range(rows):
            source.read(y * factor + part, line)
            blendOnWhite(line, source.width)
            addBlocks(line, source.width, factor, sums)
        averageBlocks(sums, source.width, factor, rows, row)
        placeRow(row, turnedStart(orientation, width, height, y), turnedStep(orientation, height), rgb)
    if orientation >= 5 and orientation <= 8:
        return Picture(height, width, rgb)
    return Picture(width, height, rgb)
