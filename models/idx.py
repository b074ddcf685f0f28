"""MNIST's idx files, plain or gzip → a source. The format: http://yann.lecun.com/exdb/mnist, at the foot of the page.

A header (two zero bytes, the type, the number of dimensions, each dimension as a big-endian uint32), then the values.
"""

from __future__ import annotations

import gzip
import math
import re
import shutil
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.errors import BadIdx, IdxPairMissing
from models.labels import index_of, usable
from models.pixels import PixelStore, Spool, as_spool
from models.samples import Sample
from models.splits import TEST, TRAIN, WHOLE, Source

UNSIGNED_BYTE = 0x08
MAX_BYTES = 16 << 30
"""A header may not claim more: what is compressed goes to the disk once, and it should not fill it."""

_IMAGES = re.compile(r"^(?P<part>.*?)-?images[-.]idx3-ubyte(\.gz)?$")
_GZIP = b"\x1f\x8b"


def is_idx(path: Path) -> bool:
    """By its name: MNIST's own, and those that others gave in its manner."""
    return _IMAGES.match(path.name) is not None


def image_files(folder: Path) -> list[Path]:
    """The idx files of images in a folder, in order; of two forms of one file the plain one."""
    found = {path.name.removesuffix(".gz"): path for path in sorted(folder.iterdir(), reverse=True) if is_idx(path)}
    return [found[name] for name in sorted(found)]


def read_idx(images: Sequence[Path], labels: Sequence[str] | None = None) -> Source:
    """Pairs of an images file and its labels file. The classes are `labels`, or the training part's values in order.

    `train-…` and `t10k-…` are the training and the test part; one pair alone is the whole.
    Raises: BadIdx, IdxPairMissing, UnknownLabel, TooFewClasses.
    """
    values = {path: _labels_of(path) for path in images}
    parts = {path: _part(path) if len(images) > 1 else WHOLE for path in images}
    trained = next((path for path in images if parts[path] in (TRAIN, WHOLE)), images[0])
    numbers = map(str, np.unique(values[trained]))
    classes = usable(trained, numbers) if labels is None else tuple(labels)
    ordered = sorted(images, key=lambda path: parts[path] != TRAIN)
    return Source("idx files", classes, {parts[path]: _samples(path, values[path], classes) for path in ordered})


def read_header(file: BinaryIO, path: Path, dimensions: int) -> tuple[int, ...]:
    """The shape of unsigned bytes in `dimensions` dimensions. Raises: BadIdx."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        raise BadIdx(path, "it does not begin as an idx file does")
    if start[2] != UNSIGNED_BYTE or start[3] != dimensions:
        kind = f"type 0x{start[2]:02x} in {start[3]} dimensions"
        raise BadIdx(path, f"{kind}, where unsigned bytes (0x08) in {dimensions} were expected")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise BadIdx(path, "the header ends early")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape or math.prod(shape) > MAX_BYTES:
        raise BadIdx(path, f"the header claims {'×'.join(map(str, shape))} values")
    return shape


def labels_file(images: Path) -> Path:
    """Beside the images, plain or gzip. Raises: IdxPairMissing."""
    name = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for candidate in (images.with_name(name), images.with_name(f"{name}.gz")):
        if candidate.is_file():
            return candidate
    raise IdxPairMissing(images, name)


def _labels_of(images: Path) -> NDArray[np.uint8]:
    """uint8 [n]."""
    path = labels_file(images)
    try:
        with _open(path) as file:
            (count,) = read_header(file, path, 1)
            data = file.read(count + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadIdx(path, str(error)) from error
    if len(data) != count:
        raise BadIdx(path, f"the header claims {count} labels, the file holds {_amount(len(data), count)}")
    return np.frombuffer(data, np.uint8)


def _samples(images: Path, values: NDArray[np.uint8], classes: Sequence[str]) -> list[Sample]:
    store, count = _store(images)
    if count != len(values):
        raise BadIdx(images, f"{count} pictures, but {len(values)} labels in {labels_file(images).name}")
    known = {int(value): index_of(labels_file(images), str(value), classes) for value in np.unique(values)}
    return [store.sample(number, known[int(value)]) for number, value in enumerate(values)]


def _store(images: Path) -> tuple[PixelStore, int]:
    """The pictures and their number. A compressed file is unpacked to the disk once: gzip knows no middle."""
    try:
        with _open(images) as file:
            count, height, width = read_header(file, images, 3)
            size = count * height * width
            if not isinstance(file, gzip.GzipFile):
                found = images.stat().st_size - 16
                spool, offset = as_spool(images), 16
            else:
                spool, offset = Spool(), 0
                with spool.path.open("wb") as plain:
                    shutil.copyfileobj(_Limited(file, size + 1), plain, 1 << 20)
                found = spool.path.stat().st_size
    except (OSError, EOFError, zlib.error) as error:
        raise BadIdx(images, str(error)) from error
    if found != size:
        raise BadIdx(images, f"the header claims {count} pictures of {height}×{width}, {_amount(found, size)} follow")
    return PixelStore(spool, images, offset, (height, width)), count


class _Limited:
    """The first `limit` bytes of a stream."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.file = file
        self.left = limit

    def read(self, size: int) -> bytes:
        data = self.file.read(min(size, self.left))
        self.left -= len(data)
        return data


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
    return gzip.open(path, "rb") if compressed else path.open("rb")  # type: ignore[return-value]


def _part(path: Path) -> str:
    match = _IMAGES.match(path.name)
    part = match["part"] if match else ""
    if part.endswith("train"):
        return TRAIN
    if part.endswith(("t10k", "test")):
        return TEST
    raise BadIdx(path, f"beside others it should be called train-… or t10k-…, not {part!r}")


def _amount(found: int, expected: int) -> str:
    return "more bytes" if found > expected else f"{found} bytes"
