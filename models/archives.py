"""A zip of pictures, read where it lies: one picture at a time, nothing is unpacked to the disk."""

from __future__ import annotations

import io
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from bundle.errors import ImageError, TooManyBytes
from bundle.image import DEFAULT_LIMITS
from models.errors import ArchiveUnreadable, ArchiveUnsafe, EntryUnreadable
from models.samples import Sample
from models.trees import shown

MAX_RATIO = 200
"""All entries together may unpack to so many times the archive's size: photographs stay near 1."""

FREE_BYTES = 1 << 30
"""Below this much there is no need to ask."""

_READ_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
"""What zipfile raises on damaged entries, and (NotImplementedError) on a compression that it cannot undo."""


class ZipStore:
    """Reads entries of one archive; its samples are called ARCHIVE/ENTRY."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def read(self, path: Path) -> bytes:
        """The entry's bytes; at most one byte more than the limit is ever unpacked. Raises: ImageError, OSError."""
        limit = DEFAULT_LIMITS.max_bytes
        try:
            with self.archive().open(path.relative_to(self.path).as_posix()) as file:
                data = file.read(limit + 1)
        except KeyError as error:
            raise FileNotFoundError(f"no such entry in {self.path.name}") from error
        except _READ_ERRORS as error:
            raise EntryUnreadable(str(error)) from error
        if len(data) > limit:
            raise TooManyBytes(limit)
        return data

    def archive(self) -> zipfile.ZipFile:
        """The open archive, shared by threads; a forked process gets its own, for the file's position is shared."""
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                self._opened = os.getpid(), zipfile.ZipFile(self.path)
            return self._opened[1]


class ZipTree:
    """An archive's folders. A single folder around everything else is looked through.

    Raises: ArchiveUnreadable, ArchiveUnsafe.
    """

    kind = "zip"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = ZipStore(path)
        try:
            entries = self.store.archive().infolist()
        except (*_READ_ERRORS, zipfile.LargeZipFile) as error:
            raise ArchiveUnreadable(path, str(error)) from error
        _refuse_bomb(path, entries)
        self._files: dict[str, list[str]] = {}
        self._folders: dict[str, set[str]] = {}
        for name in _names(path, entries):
            self._add(name)
        self._prefix = self._wrapper()

    def folders(self, name: str) -> list[str]:
        at = self._prefix + name
        return sorted(folder.removeprefix(self._prefix) for folder in self._folders.get(at.rstrip("/"), ()))

    def files(self, name: str) -> Iterator[str]:
        at = self._prefix + name
        return (file.removeprefix(self._prefix) for file in self._files.get(at.rstrip("/"), ()))

    def sample(self, name: str, label: int | None) -> Sample:
        return Sample(self.path / (self._prefix + name), label, store=self.store)

    def beside(self, name: str, cell: str) -> str:
        parent = name.rpartition("/")[0]
        found = os.path.normpath(f"{parent}/{cell}" if parent else cell).replace(os.sep, "/")
        if found.startswith(("/", "../")):
            raise ValueError(f"{cell} is not in the archive")
        return found

    def lines(self, name: str) -> TextIO:
        """A text file, in UTF-8. Raises: ArchiveUnreadable."""
        try:
            data = self.store.read(self.path / (self._prefix + name))
        except ImageError as error:
            raise ArchiveUnreadable(self.path, f"{name}: {error}") from error
        return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")

    def _add(self, name: str) -> None:
        folder = name.rpartition("/")[0]
        self._files.setdefault(folder, []).append(name)
        while folder:
            parent = folder.rpartition("/")[0]
            self._folders.setdefault(parent, set()).add(folder)
            folder = parent

    def _wrapper(self) -> str:
        """`NAME/` when the root holds nothing but one folder of folders."""
        prefix = ""
        at = ""
        while not self._files.get(at) and len(self._folders.get(at, ())) == 1:
            (at,) = self._folders[at]
            if not self._folders.get(at) and not any(name.endswith(".csv") for name in self._files.get(at, ())):
                break
            prefix = f"{at}/"
        return prefix


def _names(path: Path, entries: list[zipfile.ZipInfo]) -> Iterator[str]:
    """The files' names, after making sure that each is a plain relative one and there once."""
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        if name.endswith("/"):
            continue
        _refuse_unsafe(path, entry)
        if name in seen:
            raise ArchiveUnsafe(path, name, "is there twice")
        seen.add(name)
        if all(shown(part) for part in name.split("/")):
            yield name


def _refuse_unsafe(path: Path, entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if entry.flag_bits & 1:
        raise ArchiveUnsafe(path, name, "is encrypted")
    parts = name.split("/")
    if "\\" in name or ":" in parts[0] or not all(part and part not in (".", "..") for part in parts):
        raise ArchiveUnsafe(path, name, "is no plain relative name")


def _refuse_bomb(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max(FREE_BYTES, MAX_RATIO * path.stat().st_size):
        raise ArchiveUnsafe(path, "all entries together", f"would unpack to {unpacked / 1e9:.1f} GB")
