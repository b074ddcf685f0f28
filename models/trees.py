"""Folders of pictures, on the disk or in an archive, seen the same way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bundle.image import SUFFIXES
from models.samples import Sample


class Tree(Protocol):
    """Names are relative, with `/` between their parts; the root is the empty name. Hidden entries do not exist."""

    kind: str
    path: Path

    def folders(self, name: str) -> list[str]:
        """Names of the folders in a folder, in order."""
        ...

    def files(self, name: str) -> Iterator[str]:
        """Names of the files in a folder, in any order."""
        ...

    def sample(self, name: str, label: int | None) -> Sample:
        """The picture of that name."""
        ...

    def beside(self, name: str, cell: str) -> str:
        """What a cell of the table `name` calls a picture. Raises: ValueError when it leaves the archive."""
        ...


class DiskTree:
    """A folder on the disk."""

    kind = "folder"

    def __init__(self, path: Path) -> None:
        self.path = path

    def folders(self, name: str) -> list[str]:
        entries = (self.path / name).iterdir()
        return sorted(join(name, entry.name) for entry in entries if shown(entry.name) and entry.is_dir())

    def files(self, name: str) -> Iterator[str]:
        entries = (self.path / name).iterdir()
        return (join(name, entry.name) for entry in entries if shown(entry.name) and entry.is_file())

    def sample(self, name: str, label: int | None) -> Sample:
        return Sample(self.path / name, label)

    def beside(self, name: str, cell: str) -> str:
        return str(Path(name).parent / cell)


def pictures(tree: Tree, name: str) -> list[str]:
    """Names of the pictures in a folder, in order."""
    return sorted(file for file in tree.files(name) if is_picture(file))


def has_pictures(tree: Tree, name: str) -> bool:
    return any(is_picture(file) for file in tree.files(name))


def is_picture(name: str) -> bool:
    """By its suffix: what is in it is found out when it is checked."""
    return name.lower().endswith(SUFFIXES)


def shown(name: str) -> bool:
    """Not hidden, and not what macOS adds to every archive."""
    return not name.startswith(".") and name != "__MACOSX"


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def last(name: str) -> str:
    """The name without its folders."""
    return name.rpartition("/")[2]
