"""Pictures that never were files: rows of pixels in one plain file, read one at a time."""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from models.errors import EntryUnreadable
from models.samples import Sample


@dataclass
class Spool:
    """A temporary file that lives as long as something refers to it in the process that made it."""

    path: Path = field(default_factory=lambda: _temporary_file())

    def __post_init__(self) -> None:
        weakref.finalize(self, _remove, self.path, os.getpid())

    def __reduce__(self) -> tuple[type[_Borrowed], tuple[Path]]:
        return _Borrowed, (self.path,)


@dataclass
class _Borrowed:
    """The same file in a loader's process, which must not remove it."""

    path: Path


@dataclass(frozen=True)
class PixelStore:
    """uint8 pictures of one shape, [height, width] grey or [height, width, 3] RGB, behind each other in a file.

    A picture is handed out as a BMP: it has no compression, so the same pixels are the same bytes (and the same
    fingerprint) with every version of every library, and `bundle.image.decode` reads it like any other picture.
    """

    file: Spool | _Borrowed
    name: Path
    offset: int
    shape: tuple[int, ...]

    def read(self, path: Path) -> bytes:
        """The picture called NAME/NUMBER.bmp."""
        size = int(np.prod(self.shape))
        with self.file.path.open("rb") as file:
            file.seek(self.offset + int(path.stem) * size)
            data = file.read(size)
        if len(data) < size:
            raise EntryUnreadable("the file ends early")
        buffer = BytesIO()
        # Three channels for a grey picture too: Pillow takes ten times longer over a palette of 256 greys.
        Image.fromarray(np.frombuffer(data, np.uint8).reshape(self.shape)).convert("RGB").save(buffer, "BMP")
        return buffer.getvalue()

    def sample(self, number: int, label: int | None) -> Sample:
        """The picture at position `number`."""
        return Sample(self.name / f"{number:07d}.bmp", label, store=self)


def as_spool(path: Path) -> _Borrowed:
    """A file that stays where it is."""
    return _Borrowed(path)


def _temporary_file() -> Path:
    descriptor, name = tempfile.mkstemp(prefix="convoy-", suffix=".pixels")
    os.close(descriptor)
    return Path(name)


def _remove(path: Path, owner: int) -> None:
    """Not by a forked process, which inherits the finalizer but not the file."""
    if os.getpid() == owner:
        path.unlink(missing_ok=True)
