"""Which bundles there are, by name and version. Knows no HTTP and loads nothing by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from packaging.version import InvalidVersion, Version

from bundle.folder import MANIFEST
from service.errors import FolderNotModels, ModelNotNamed, UnknownModel, UnknownVersion

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")


class Address(NamedTuple):
    """Where a bundle lies. `name` and `version` are None for a single bundle: its manifest has them."""

    path: Path
    name: str | None
    version: str | None


def find_bundles(root: Path) -> list[Address]:
    """A bundle folder, or every NAME/VERSION/ below a folder; hidden ones are unfinished writes and left out.

    A folder that is no bundle is listed too, so that opening it says what is wrong: nothing is skipped silently.
    Raises: FolderNotModels.
    """
    if (root / MANIFEST).exists() or not root.is_dir():
        return [Address(root, None, None)]
    found = [
        Address(version, name.name, version.name) for name in _folders(root) for version in _folders(name, needed=True)
    ]
    if not found:
        raise FolderNotModels(root, "no bundle in it")
    return found


def _folders(root: Path, *, needed: bool = False) -> list[Path]:
    if (root / MANIFEST).exists():
        raise FolderNotModels(root, f"a bundle where a folder of versions was expected: move it to {root.name}/VERSION")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    for folder in folders:
        if not _NAME.fullmatch(folder.name):
            raise FolderNotModels(folder, "a name of letters, digits, '.', '_', '+' and '-' was expected")
    if needed and not folders:
        raise FolderNotModels(root, "no version in it")
    return folders


class Named(Protocol):
    """What a catalogue holds."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...


M = TypeVar("M", bound=Named)


def version_order(version: str) -> tuple[bool, Version, tuple[tuple[int, str], ...]]:
    """Sorts 2 before 10 and 2.0rc1 before 2.0 (PEP 440); what is no such version comes first, digits by value."""
    parts = tuple(
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"[0-9]+|[^0-9]+", version)
    )
    try:
        return True, Version(version), parts
    except InvalidVersion:
        return False, Version("0"), parts


class Catalogue(Generic[M]):
    """The loaded models: the highest version of a name is the default one."""

    def __init__(self, models: list[M]) -> None:
        self.all = sorted(models, key=lambda model: (model.name, version_order(model.version)))
        self._models: dict[str, dict[str, M]] = {}
        for model in self.all:
            self._models.setdefault(model.name, {})[model.version] = model

    @property
    def names(self) -> list[str]:
        """Every name, sorted."""
        return list(self._models)

    def versions(self, name: str) -> list[M]:
        """Every version of a name, the highest last. Raises: UnknownModel."""
        if name not in self._models:
            raise UnknownModel(name, self.names)
        return list(self._models[name].values())

    def find(self, name: str | None, version: str | None = None) -> M:
        """The model; without a version the highest, without a name the only one.

        Raises: UnknownModel, UnknownVersion, ModelNotNamed.
        """
        if name is None:
            if len(self._models) > 1:
                raise ModelNotNamed(self.names)
            name = self.names[0]
        found = self.versions(name)
        if version is None:
            return found[-1]
        if version not in self._models[name]:
            raise UnknownVersion(name, version, list(self._models[name]))
        return self._models[name][version]
