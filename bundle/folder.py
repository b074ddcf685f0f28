"""Checkpoint and bundle folders on disk: written whole or not at all, opened only when every byte is as recorded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import ValidationError

from bundle.errors import (
    CannotWrite,
    ChecksumMismatch,
    ManifestInvalid,
    NewerSchema,
    NotAFolder,
    NotReplaceable,
    SizeMismatch,
    TargetExists,
    UnsafePath,
    WrongKind,
)
from bundle.manifest import SCHEMA_VERSION, BundleManifest, CheckpointManifest, FileRecord, Manifest

MANIFEST = "manifest.json"
MANIFEST_CHECKSUM = "manifest.sha256"
"""`sha256sum --check` reads it: a changed byte in the manifest itself is found too."""

_MAX_MANIFEST_BYTES = 64 * 1024 * 1024
_CHUNK = 1 << 20

M = TypeVar("M", bound=Manifest)
Kind = Literal["checkpoint", "bundle", "look", "phone"]


@dataclass(frozen=True)
class Folder(Generic[M]):
    """An opened folder: every file was checked. `id` is the sha256 of the manifest."""

    root: Path
    manifest: M
    id: str

    def path(self, record: FileRecord) -> Path:
        """Where the record's file lies."""
        return self.root / record.path


def sha256_of(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def record_file(root: Path, path: str) -> FileRecord:
    """The record of a file that has been written to `root`."""
    return FileRecord(path=path, sha256=sha256_of(root / path), bytes=(root / path).stat().st_size)


def write_manifest(root: Path, manifest: Manifest) -> str:
    """Write the manifest and its checksum; returns the folder's id."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    (root / MANIFEST).write_text(text, encoding="utf-8")
    identity = hashlib.sha256(text.encode()).hexdigest()
    (root / MANIFEST_CHECKSUM).write_text(f"{identity}  {MANIFEST}\n", encoding="utf-8")
    return identity


def open_bundle(root: Path) -> Folder[BundleManifest]:
    """Open a bundle. Raises: a FolderError that names the file."""
    return _open(root, BundleManifest, "bundle")


def open_checkpoint(root: Path) -> Folder[CheckpointManifest]:
    """Open a checkpoint. Raises: a FolderError that names the file."""
    return _open(root, CheckpointManifest, "checkpoint")


def _open(root: Path, model: type[M], kind: str) -> Folder[M]:
    if not (root / MANIFEST).is_file():
        raise NotAFolder(root, kind)
    raw = _read_manifest(root)
    document = _parse(root, raw)
    version = document.get("schema_version")
    if type(version) is not int or version < 1:
        raise ManifestInvalid(root / MANIFEST, f"schema_version is {version!r}, expected {SCHEMA_VERSION}")
    if version > SCHEMA_VERSION:
        raise NewerSchema(root, version, SCHEMA_VERSION)
    identity = hashlib.sha256(raw).hexdigest()
    _check_manifest_checksum(root, identity)
    found = document.get("kind")
    if found != kind:
        raise WrongKind(root, str(found), kind)
    try:
        manifest = model.model_validate(document)
    except ValidationError as error:
        raise ManifestInvalid(root / MANIFEST, _first(error)) from error
    for record in manifest.files():
        _check_file(root, record)
    return Folder(root, manifest, identity)


def _read_manifest(root: Path) -> bytes:
    with _plain_file(root, MANIFEST).open("rb") as file:
        raw = file.read(_MAX_MANIFEST_BYTES + 1)
    if len(raw) > _MAX_MANIFEST_BYTES:
        raise ManifestInvalid(root / MANIFEST, f"larger than {_MAX_MANIFEST_BYTES} bytes")
    return raw


def _parse(root: Path, raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(root / MANIFEST, f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestInvalid(root / MANIFEST, "not a JSON object")
    return document


def _first(error: ValidationError) -> str:
    """The first of pydantic's complaints on one line: where, what, and how many more."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "manifest"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {first['msg']}{more}"


def _check_manifest_checksum(root: Path, identity: str) -> None:
    recorded = _plain_file(root, MANIFEST_CHECKSUM).read_bytes()
    if recorded != f"{identity}  {MANIFEST}\n".encode():
        expected = recorded.split(b" ")[0].decode("utf-8", "replace")
        raise ChecksumMismatch(root / MANIFEST, expected, identity)


def _check_file(root: Path, record: FileRecord) -> None:
    path = _plain_file(root, record.path)
    if path.stat().st_size != record.bytes:
        raise SizeMismatch(path, record.bytes, path.stat().st_size)
    found = sha256_of(path)
    if found != record.sha256:
        raise ChecksumMismatch(path, record.sha256, found)


def _plain_file(root: Path, relative: str) -> Path:
    """The path, after making sure that no part of it is a link and that it is a regular file."""
    path = root
    for part in relative.split("/"):
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            raise UnsafePath(path, "missing or unreachable") from error
        if stat.S_ISLNK(mode):
            raise UnsafePath(path, "a link")
    if not stat.S_ISREG(mode):
        raise UnsafePath(path, "not a regular file")
    return path


@contextmanager
def write_folder(target: Path, kind: Kind, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary sibling of `target` to write into; renamed to `target` when the block ends without an error.

    A crash leaves the old folder, or none, and at most a hidden `.NAME.*` sibling; never a half one.
    Raises: TargetExists, NotReplaceable; CannotWrite when the disk refuses.
    """
    target = target.absolute()
    refuse_existing(target, kind, overwrite=overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise CannotWrite(target, error.strerror or str(error)) from error
    try:
        yield partial
        _publish(partial, target, kind, overwrite=overwrite)
    except OSError as error:
        if not _concerns(error, partial, target):
            raise
        raise CannotWrite(target, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _concerns(error: OSError, *folders: Path) -> bool:
    """Whether the disk that is written to refused, and not some file that was read meanwhile."""
    name = error.filename
    return not isinstance(name, str) or any(Path(name).is_relative_to(folder) for folder in folders)


def refuse_existing(target: Path, kind: Kind, *, overwrite: bool) -> None:
    """Raise TargetExists or NotReplaceable unless the target is free, empty, or of `kind` and to be overwritten."""
    if not target.exists() and not target.is_symlink():
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    if not overwrite:
        raise TargetExists(target)
    if not (target / MANIFEST).is_file() or _parse(target, _read_manifest(target)).get("kind") != kind:
        raise NotReplaceable(target, kind)


def _publish(partial: Path, target: Path, kind: Kind, *, overwrite: bool) -> None:
    _open_to_others(partial)
    _sync(partial)
    refuse_existing(target, kind, overwrite=overwrite)
    if not target.exists():
        partial.rename(target)
    else:
        retired = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        target.rename(retired / target.name)
        try:
            partial.rename(target)
        except OSError:
            (retired / target.name).rename(target)
            raise
        finally:
            shutil.rmtree(retired, ignore_errors=True)
    _sync_directory(target.parent)


def _open_to_others(root: Path) -> None:
    """mkdtemp and some writers give only the owner access; a bundle is read by another user, in a container for one."""
    root.chmod(0o755)
    for path in root.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _sync(root: Path) -> None:
    """Flush every file to the disk, so that the rename never outlives the content after a power cut."""
    for directory, _, names in os.walk(root):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_directory(Path(directory))


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
