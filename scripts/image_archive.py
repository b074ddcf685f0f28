"""An image as `docker save` writes it, read without running it: layers, files, sizes, settings."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TEXT_BYTES = 4_000_000
"""Files above it are not read for their text."""
HIDDEN, OPAQUE = ".wh.", ".wh..wh..opq"
"""A layer's marks for what it takes away (OCI image specification, layer.md)."""


@dataclass(frozen=True)
class File:
    """One file as a container sees it; `layer` counts from 0."""

    bytes: int
    layer: int
    mode: int
    owner: int


@dataclass
class ImageArchive:
    """`files` by path without the leading slash, after every layer has covered those below."""

    config: dict[str, Any]
    layers: list[str]
    base_layers: int
    files: dict[str, File] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    """The content of those that were asked for."""

    def size(self, *, base: bool) -> int:
        """Bytes of the files that come from the base's layers, or from ours."""
        return sum(file.bytes for file in self.files.values() if (file.layer < self.base_layers) == base)

    def own(self) -> Iterator[tuple[str, File]]:
        """What our layers brought."""
        return ((path, file) for path, file in self.files.items() if file.layer >= self.base_layers)


def read_archive(path: Path, base_layers: list[str]) -> ImageArchive:
    """Raises: ValueError when the image does not begin with those layers."""
    with tarfile.open(path) as outer:
        (entry,) = json.load(_member(outer, "manifest.json"))
        config = json.load(_member(outer, entry["Config"]))
        layers = list(config["rootfs"]["diff_ids"])
        if layers[: len(base_layers)] != base_layers:
            raise ValueError(f"{path}: the image does not begin with its base's layers")
        image = ImageArchive(config, layers, len(base_layers))
        for number, name in enumerate(entry["Layers"]):
            with tarfile.open(fileobj=_member(outer, name), mode="r:*") as layer:
                _lay(image, layer, number)
    return image


def _member(outer: tarfile.TarFile, name: str) -> Any:
    found = outer.extractfile(name)
    assert found is not None, name
    return found


def _lay(image: ImageArchive, layer: tarfile.TarFile, number: int) -> None:
    """Put one layer over those below."""
    for member in layer:
        path = member.name.removeprefix("./").rstrip("/")
        folder, _, name = path.rpartition("/")
        if name == OPAQUE:
            _hide(image, folder + "/", number)
        elif name.startswith(HIDDEN):
            hidden = f"{folder}/{name.removeprefix(HIDDEN)}".lstrip("/")
            _forget(image, hidden)
            _hide(image, hidden + "/", number)
        elif not member.isdir():
            _forget(image, path)
            image.files[path] = File(member.size if member.isreg() else 0, number, member.mode, member.uid)
            if member.isreg() and member.size <= TEXT_BYTES and _worth_reading(path, number >= image.base_layers):
                image.texts[path] = _member(layer, member.name).read()


def _hide(image: ImageArchive, below: str, number: int) -> None:
    for path in [each for each, file in image.files.items() if each.startswith(below) and file.layer < number]:
        _forget(image, path)


def _forget(image: ImageArchive, path: str) -> None:
    image.files.pop(path, None)
    image.texts.pop(path, None)


def _worth_reading(path: str, own: bool) -> bool:
    """Ours, for what must not be in it; of the base, what says what is installed."""
    return own or path.endswith(".dist-info/METADATA") or path.startswith("var/lib/dpkg/status")
