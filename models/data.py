"""Folders and tables of pictures → checked, labelled samples in a fixed order."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from bundle.cores import available_cores
from bundle.errors import ImageError
from bundle.image import SUFFIXES, decode, read_image_bytes
from bundle.manifest import Preprocess
from bundle.preprocess import Pixels, preprocess
from models.errors import (
    AmbiguousLabel,
    BadPictures,
    BadTable,
    DataNotFound,
    EmptyClass,
    MixedFolder,
    NoImages,
    TooFewClasses,
    UnknownLabel,
    UnusableLabel,
)

TRAIN_NAMES = ("train", "training")
VALIDATION_NAMES = ("val", "valid", "validation")

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Sample:
    """One picture: where it lies, its class index (None when unlabelled), its content's sha256 once checked."""

    path: Path
    label: int | None
    sha256: str = ""


@dataclass(frozen=True)
class Pictures:
    """Pictures in a fixed order. `skipped`: unreadable ones that `--skip-bad` left out, with the reason."""

    samples: tuple[Sample, ...]
    split: str
    skipped: tuple[tuple[Path, str], ...] = ()

    @property
    def labelled(self) -> bool:
        return all(sample.label is not None for sample in self.samples)

    @property
    def fingerprint(self) -> str:
        """sha256 over every picture's content and label, in order: the same pictures in another place are the same."""
        digest = hashlib.sha256()
        for sample in self.samples:
            digest.update(f"{sample.sha256} {sample.label}\n".encode())
        return digest.hexdigest()

    def tensors(self, spec: Preprocess) -> Iterator[Pixels]:
        """Preprocessed uint8 [H, W, 3], decoded by a few threads, in order and a bounded number ahead."""
        yield from map_in_order(lambda sample: preprocess(decode(sample.path), spec), self.samples)

    def batches(self, spec: Preprocess, size: int = 32) -> Iterator[Pixels]:
        """uint8 [up to `size`, H, W, 3]."""
        batch: list[Pixels] = []
        for tensor in self.tensors(spec):
            batch.append(tensor)
            if len(batch) == size:
                yield np.stack(batch)
                batch = []
        if batch:
            yield np.stack(batch)


@dataclass(frozen=True)
class TrainingData:
    """The classes in the order that every later step keeps, and the two splits."""

    classes: tuple[str, ...]
    train: Pictures
    validation: Pictures


def map_in_order(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """`map` on as many threads as there are cores; never more than a few results wait in memory."""
    threads = available_cores()
    with ThreadPoolExecutor(threads) as pool:
        pending = []
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 4 * threads:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()


def read_training_data(root: Path, *, validation_share: float, seed: int, skip_bad: bool = False) -> TrainingData:
    """`root/train/CLASS/*` and `root/val/CLASS/*`, or `root/CLASS/*` split by class with a seed.

    Raises: DataNotFound, NoImages, TooFewClasses, EmptyClass, UnknownLabel, BadPictures.
    """
    if not root.is_dir():
        raise DataNotFound(root, "a folder with one folder of images per class")
    train, validation = _split_folder(root, TRAIN_NAMES), _split_folder(root, VALIDATION_NAMES)
    if train and validation:
        classes = class_names(train)
        samples = _samples_by_class(train, classes)
        held_out = read_folder(validation, classes)
    else:
        classes = class_names(train or root)
        samples, held_out = _split(_samples_by_class(train or root, classes), validation_share, seed)
    checked = check(samples, "train", skip_bad=skip_bad)
    checked_validation = check(held_out, "validation", skip_bad=skip_bad)
    _refuse_empty(root, classes, checked)
    if not checked_validation.samples:
        raise NoImages(validation or root, SUFFIXES)
    return TrainingData(classes, checked, checked_validation)


def read_evaluation_pictures(source: Path, labels: Sequence[str], *, skip_bad: bool = False) -> Pictures:
    """A CSV, a folder of classes (or one with a `val` folder in it), or a flat folder of unlabelled pictures.

    Raises: DataNotFound, NoImages, BadTable, UnknownLabel, BadPictures.
    """
    if source.is_file():
        samples = read_table(source, labels)
    elif source.is_dir():
        folder = _split_folder(source, VALIDATION_NAMES) or source
        flat = [Sample(path, None) for path in _image_files(folder)]
        if flat and _has_classes(folder):
            raise MixedFolder(folder, flat[0].path.name)
        samples = flat or read_folder(folder, labels)
    else:
        raise DataNotFound(source, "a folder of images or a CSV file")
    if not samples:
        raise NoImages(source, SUFFIXES)
    return check(samples, "evaluation", skip_bad=skip_bad)


def class_names(root: Path) -> tuple[str, ...]:
    """The folders with images in them, sorted by name. Raises: NoImages, TooFewClasses."""
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    with_images = tuple(name for name in folders if _image_files(root / name))
    if not with_images:
        raise NoImages(root, SUFFIXES)
    if len(with_images) < 2:
        raise TooFewClasses(root, with_images)
    for name in with_images:
        if not name.isprintable() or not name.strip():
            raise UnusableLabel(root, name)
    return with_images


def read_folder(root: Path, labels: Sequence[str]) -> list[Sample]:
    """`root/LABEL/*`; an index follows from `labels`, never from the folders that happen to be here.

    Raises: UnknownLabel or AmbiguousLabel for a folder of images that is not one label.
    """
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and not entry.name.startswith(".") and _image_files(entry):
            index_of(entry, entry.name, labels)
    return _samples_by_class(root, labels)


def index_of(source: Path, label: str, labels: Sequence[str]) -> int:
    """The label's index. Raises: UnknownLabel; AmbiguousLabel (ImageNet has two classes called crane)."""
    count = labels.count(label)
    if count == 0:
        raise UnknownLabel(source, label, labels)
    if count > 1:
        raise AmbiguousLabel(source, label)
    return labels.index(label)


def read_table(path: Path, labels: Sequence[str]) -> list[Sample]:
    """A CSV with a header: `path` or `file` (relative to the CSV), and `label` or `class_index`.

    Raises: BadTable, UnknownLabel.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            rows = csv.DictReader(file)
            header = rows.fieldnames or []
            path_column = _column(path, header, ("path", "file"))
            label_column = _column(path, header, ("class_index", "label"))
            return [_row(path, rows.line_num, row, path_column, label_column, labels) for row in rows]
        except (csv.Error, UnicodeDecodeError) as error:
            raise BadTable(path, 1, f"not a CSV file: {error}") from error


def check(samples: Iterable[Sample], split: str, *, skip_bad: bool) -> Pictures:
    """Decode every picture once, so that a bad one is known before hours of training, not during them.

    Raises: BadPictures with all of them, unless `skip_bad`.
    """
    ordered = list(samples)
    results = list(map_in_order(_check_one, ordered))
    bad = tuple((sample.path, reason) for sample, (_, reason) in zip(ordered, results, strict=True) if reason)
    if bad and not skip_bad:
        raise BadPictures(bad)
    good = tuple(
        replace(sample, sha256=digest) for sample, (digest, reason) in zip(ordered, results, strict=True) if not reason
    )
    return Pictures(good, split, bad)


def _check_one(sample: Sample) -> tuple[str, str]:
    try:
        data = read_image_bytes(sample.path)
        decode(data)
    except (ImageError, OSError) as error:
        return "", str(error)
    return hashlib.sha256(data).hexdigest(), ""


def _split_folder(root: Path, names: Sequence[str]) -> Path | None:
    """The folder of a split. It holds folders of images: a class may well be called `train` or `valid`."""
    return next((root / name for name in names if _has_classes(root / name)), None)


def _has_classes(folder: Path) -> bool:
    """Whether there are folders with images in this folder."""
    return folder.is_dir() and any(
        entry.is_dir() and not entry.name.startswith(".") and _image_files(entry) for entry in folder.iterdir()
    )


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _samples_by_class(root: Path, classes: Sequence[str]) -> list[Sample]:
    return [
        Sample(path, index)
        for index, name in enumerate(classes)
        if (root / name).is_dir()
        for path in _image_files(root / name)
    ]


def _split(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Hold out `share` of every class, at least one picture where a class has two."""
    generator = random.Random(seed)
    train: list[Sample] = []
    held_out: list[Sample] = []
    for label in sorted({sample.label or 0 for sample in samples}):
        members = [sample for sample in samples if sample.label == label]
        generator.shuffle(members)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held_out += sorted(members[:count], key=lambda sample: sample.path)
        train += sorted(members[count:], key=lambda sample: sample.path)
    return train, held_out


def _refuse_empty(root: Path, classes: Sequence[str], pictures: Pictures) -> None:
    present = {sample.label for sample in pictures.samples}
    empty = [name for index, name in enumerate(classes) if index not in present]
    if empty:
        raise EmptyClass(root, pictures.split, empty)


def _column(path: Path, header: Sequence[str], names: Sequence[str]) -> str:
    found = next((name for name in names if name in header), None)
    if found is None:
        raise BadTable(path, 1, f"no column {' or '.join(names)} in {', '.join(header) or 'an empty header'}")
    return found


def _row(
    table: Path, line: int, row: dict[str, str], path_column: str, label_column: str, labels: Sequence[str]
) -> Sample:
    name, label = row[path_column], row[label_column]
    if not name or not label:
        raise BadTable(table, line, "a cell is empty")
    picture = table.parent / name
    if not picture.is_file():
        raise BadTable(table, line, f"{picture} is not a file")
    if label_column == "label":
        return Sample(picture, index_of(table, label, labels))
    if not (label.isascii() and label.isdecimal() and len(label) < 10 and int(label) < len(labels)):
        raise BadTable(table, line, f"class_index {label[:20]!r} is not one of 0..{len(labels) - 1}")
    return Sample(picture, int(label))
