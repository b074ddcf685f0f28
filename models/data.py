"""Whatever `--data` names → checked, labelled pictures in a fixed order.

A folder of classes, a CSV, a zip of either, MNIST's idx files, or a data set of torchvision's by name.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import near
from bundle.image import SUFFIXES
from models.archives import ZipTree
from models.duplicates import Duplicate, leaked
from models.errors import ArchiveUnreadable, DataNotFound, EmptyClass, NoImages, NoPart
from models.folders import read_classes, read_known_classes
from models.idx import image_files, is_idx, read_idx
from models.inspection import check
from models.named_datasets import NAMED, is_named, read_named
from models.samples import Pictures, Sample, map_in_order
from models.splits import TEST, TRAIN, VALIDATION, WHOLE, Source, hold_out
from models.tables import read_table
from models.trees import DiskTree

__all__ = [
    "Pictures",
    "Sample",
    "TrainingData",
    "address",
    "map_in_order",
    "open_source",
    "read_evaluation_pictures",
    "read_training_data",
    "read_validation_pictures",
]

EXPECTED = "a folder of classes, a CSV, a zip of either, idx files, or one of " + ", ".join(NAMED)


@dataclass(frozen=True)
class TrainingData:
    """The classes in the order that every later step keeps, and the parts; `test` is never trained or chosen on."""

    classes: tuple[str, ...]
    train: Pictures
    validation: Pictures
    test: Pictures | None = None

    @property
    def parts(self) -> dict[str, Pictures]:
        """By name, those that are there."""
        parts = {TRAIN: self.train, VALIDATION: self.validation}
        return parts if self.test is None else {**parts, TEST: self.test}

    @property
    def skipped(self) -> tuple[tuple[Path, str], ...]:
        """The unreadable pictures of all parts, with the reason."""
        return tuple(one for pictures in self.parts.values() for one in pictures.skipped)

    @property
    def leaks(self) -> tuple[Duplicate, ...]:
        """Pictures that lie in more than one part."""
        return leaked({part: pictures.samples for part, pictures in self.parts.items()})


def address(source: Path) -> Path:
    """What a recipe keeps: the name of a data set as it is, everything else as an absolute path."""
    return source if is_named(source) else source.resolve()


def read_training_data(
    source: Path, *, validation_share: float, seed: int, skip_bad: bool = False, labels: Sequence[str] | None = None
) -> TrainingData:
    """The parts as the source has them; what it does not call validation is held out of training, with the seed.

    labels: classes of an earlier run, whose order then counts.
    Raises: DataNotFound, NoImages, TooFewClasses, EmptyClass, UnknownLabel, BadPictures, and the errors of the format.
    """
    found = _labelled(source, labels)
    checked = check(_split(source, found, validation_share, seed), skip_bad=skip_bad)
    _refuse_empty(source, found.classes, checked[TRAIN])
    if not checked[VALIDATION].samples:
        raise NoImages(source, SUFFIXES)
    return TrainingData(found.classes, checked[TRAIN], checked[VALIDATION], checked.get(TEST))


def read_validation_pictures(
    source: Path, labels: Sequence[str], *, validation_share: float, seed: int, skip_bad: bool = False
) -> Pictures:
    """The validation part alone of what `read_training_data` gives. Raises: as it does."""
    parts = _split(source, _labelled(source, labels), validation_share, seed)
    return check({VALIDATION: parts[VALIDATION]}, skip_bad=skip_bad)[VALIDATION]


def read_evaluation_pictures(
    source: Path, labels: Sequence[str], *, part: str | None = None, skip_bad: bool = False
) -> Pictures:
    """Pictures for a classifier of `labels`; a flat folder gives unlabelled ones.

    part: TRAIN, VALIDATION or TEST; by default validation, else test, else a source without parts as a whole.
    Raises: DataNotFound, NoImages, NoPart, UnknownLabel, BadPictures, and the errors of the format.
    """
    found = open_source(source, labels)
    if not any(found.parts.values()):
        raise NoImages(source, SUFFIXES)
    wanted = [part] if part else [VALIDATION, TEST, WHOLE]
    chosen = next((name for name in wanted if found.parts.get(name)), None)
    if chosen is None:
        raise NoPart(source, wanted, found.parts)
    return check({"evaluation": found.parts[chosen]}, skip_bad=skip_bad)["evaluation"]


def open_source(source: Path, labels: Sequence[str] | None = None) -> Source:
    """What is there, before a picture has been decoded. Without `labels` the classes are those of the training part.

    Raises: DataNotFound and the errors of the format.
    """
    if is_named(source):
        return read_named(str(source), labels)
    if source.is_dir():
        if images := image_files(source):
            return read_idx(images, labels)
        return _read_folders(DiskTree(source), labels)
    if not source.is_file():
        raise DataNotFound(source, EXPECTED + near(str(source), NAMED))
    if is_idx(source):
        return read_idx([source], labels)
    if zipfile.is_zipfile(source):
        return _read_archive(ZipTree(source), labels)
    if source.suffix.lower() == ".zip":
        raise ArchiveUnreadable(source, "not a zip file")
    with source.open(newline="", encoding="utf-8-sig") as lines:
        return read_table(DiskTree(source.parent), source.name, lines, labels)


def _read_folders(tree: DiskTree | ZipTree, labels: Sequence[str] | None) -> Source:
    return read_classes(tree) if labels is None else read_known_classes(tree, labels)


def _read_archive(tree: ZipTree, labels: Sequence[str] | None) -> Source:
    """A single CSV at the top makes the archive a table."""
    tables = [name for name in tree.files("") if name.lower().endswith(".csv")]
    if len(tables) != 1:
        return _read_folders(tree, labels)
    return read_table(tree, tables[0], tree.lines(tables[0]), labels)


def _labelled(source: Path, labels: Sequence[str] | None) -> Source:
    found = open_source(source, labels)
    if not any(found.parts.values()) or any(sample.label is None for part in found.parts.values() for sample in part):
        raise NoImages(source, SUFFIXES)
    return found


def _split(source: Path, found: Source, share: float, seed: int) -> Mapping[str, Sequence[Sample]]:
    parts = dict(found.parts)
    whole = parts.pop(WHOLE, None)
    if whole is None and TRAIN not in parts:
        raise NoPart(source, [TRAIN], parts)
    if VALIDATION not in parts:
        parts[TRAIN], parts[VALIDATION] = hold_out(parts[TRAIN] if whole is None else whole, share, seed)
    return {part: parts[part] for part in (TRAIN, VALIDATION, TEST) if part in parts}


def _refuse_empty(source: Path, classes: Sequence[str], pictures: Pictures) -> None:
    present = {sample.label for sample in pictures.samples}
    empty = [name for index, name in enumerate(classes) if index not in present]
    if empty:
        raise EmptyClass(source, pictures.split, empty)
