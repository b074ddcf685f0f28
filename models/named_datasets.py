"""torchvision's data sets by name, fetched by its own code into a cache folder → a source.

torch and torchvision are imported when a name is asked for: `convoy verify` runs without them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.errors import DownloadFailed
from models.idx import image_files, read_idx
from models.labels import index_of
from models.pixels import PixelStore, Spool
from models.samples import Sample
from models.splits import TEST, TRAIN, VALIDATION, Source

CACHE_VARIABLE = "CONVOY_DATASETS"


@dataclass(frozen=True)
class Named:
    """A data set: torchvision's class, the arguments that open each part, how its pictures are read."""

    dataset: str
    parts: dict[str, dict[str, Any]]
    read: Callable[[Named, Path, Sequence[str] | None], Source]


def cache_folder() -> Path:
    """`$CONVOY_DATASETS`, or `convoy/datasets` where this user's caches are."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convoy" / "datasets"


def is_named(path: Path) -> bool:
    """A name of NAMED, unless there is a file or folder of that name."""
    return str(path) in NAMED and not path.exists()


def read_named(name: str, labels: Sequence[str] | None = None) -> Source:
    """Raises: DownloadFailed, UnknownLabel."""
    named = NAMED[name]
    root = cache_folder() / name
    if not root.is_dir():
        _download(name, named, root)
    try:
        return named.read(named, root, labels)
    except (RuntimeError, OSError) as error:
        raise DownloadFailed(name, root, f"{_short(error)}; remove the folder to fetch it again") from error


def _download(name: str, named: Named, root: Path) -> None:
    """Into a sibling that is renamed when it is whole: torchvision takes any folder of the right name for whole."""
    partial = root.with_name(f".{root.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for arguments in named.parts.values():
            _open(named, partial, arguments, download=True)
        partial.rename(root)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # urllib, tarfile, hashes and full disks: each has its own
        raise DownloadFailed(name, root, _short(error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _open(named: Named, root: Path, arguments: dict[str, Any], *, download: bool = False) -> Any:
    import torchvision.datasets

    return getattr(torchvision.datasets, named.dataset)(str(root), download=download, **arguments)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _read_idx(named: Named, root: Path, labels: Sequence[str] | None) -> Source:
    """torchvision would hold all pixels in memory; the same files are read picture by picture instead."""
    raw = root / named.dataset / "raw"
    images = image_files(raw) if raw.is_dir() else []
    if len(images) != len(named.parts):
        raise RuntimeError("its idx files are missing")
    if named.dataset == "MNIST":  # digits are called as in the files, so that both are one data set
        return replace(read_idx(images, labels), kind="torchvision's MNIST")
    import torchvision.datasets

    names = tuple(getattr(torchvision.datasets, named.dataset).classes)
    # The files hold numbers; the numbers have names in the order of torchvision's list.
    source = read_idx(images, tuple(str(number) for number in range(len(names))))
    return _named_source(named, names, {part: list(found) for part, found in source.parts.items()}, labels, root)


def _read_arrays(named: Named, root: Path, labels: Sequence[str] | None) -> Source:
    """CIFAR-10: its pickles are loaded once and written to a temporary file, from which single pictures are read."""
    names: tuple[str, ...] = ()
    parts: dict[str, list[Sample]] = {}
    for part, arguments in named.parts.items():
        opened = _open(named, root, arguments)
        names = tuple(opened.classes)
        spool = Spool()
        with spool.path.open("wb") as file:
            for picture in opened.data:
                file.write(picture.tobytes())
        store = PixelStore(spool, root / part, 0, opened.data.shape[1:])
        parts[part] = [store.sample(number, int(label)) for number, label in enumerate(opened.targets)]
    return _named_source(named, names, parts, labels, root)


def _read_files(named: Named, root: Path, labels: Sequence[str] | None) -> Source:
    """torchvision tells where each picture lies; it opens none."""
    names: tuple[str, ...] = ()
    parts: dict[str, list[Sample]] = {}
    for part, arguments in named.parts.items():
        opened = _open(named, root, arguments)
        # Imagenette has synonyms: the first is the name.
        names = tuple(name if isinstance(name, str) else name[0] for name in opened.classes)
        parts[part] = [Sample(path, label) for path, label in _files(opened)]
    return _named_source(named, names, parts, labels, root)


def _files(opened: Any) -> list[tuple[Path, int]]:
    if hasattr(opened, "_images"):  # OxfordIIITPet alone takes no loader
        return [(Path(path), int(label)) for path, label in zip(opened._images, opened._labels, strict=True)]
    opened.loader = Path
    return [opened[number] for number in range(len(opened))]


def _named_source(
    named: Named, names: tuple[str, ...], parts: dict[str, list[Sample]], labels: Sequence[str] | None, root: Path
) -> Source:
    """The source, with the indices of `labels` where they are given."""
    kind = f"torchvision's {named.dataset}"
    if labels is None:
        return Source(kind, names, parts)
    indices = [index_of(root, name, labels) for name in names]
    moved = {
        part: [Sample(sample.path, indices[sample.label or 0], store=sample.store) for sample in samples]
        for part, samples in parts.items()
    }
    return Source(kind, tuple(labels), moved)


_BY_FLAG = {TRAIN: {"train": True}, TEST: {"train": False}}

NAMED = {
    "mnist": Named("MNIST", _BY_FLAG, _read_idx),
    "fashion_mnist": Named("FashionMNIST", _BY_FLAG, _read_idx),
    "cifar10": Named("CIFAR10", _BY_FLAG, _read_arrays),
    "flowers102": Named(
        "Flowers102", {TRAIN: {"split": "train"}, VALIDATION: {"split": "val"}, TEST: {"split": "test"}}, _read_files
    ),
    "oxford_pets": Named("OxfordIIITPet", {TRAIN: {"split": "trainval"}, TEST: {"split": "test"}}, _read_files),
    "food101": Named("Food101", {TRAIN: {"split": "train"}, TEST: {"split": "test"}}, _read_files),
    "imagenette": Named("Imagenette", {TRAIN: {"split": "train"}, VALIDATION: {"split": "val"}}, _read_files),
}
"""By the name that `--data` takes."""
