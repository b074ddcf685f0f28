"""One folder per class, in folders by part or not → a source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.image import SUFFIXES
from models.errors import MixedFolder, NoImages
from models.labels import index_of, usable
from models.samples import Sample
from models.splits import SPELLINGS, TRAIN, VALIDATION, WHOLE, Source
from models.trees import Tree, has_pictures, last, pictures


def read_classes(tree: Tree, root: str = "") -> Source:
    """`train/CLASS/*`, with `val` and `test` beside it or not; or `CLASS/*`. The training part has all classes.

    Raises: NoImages, TooFewClasses, UnusableLabel, UnknownLabel.
    """
    parts = _parts(tree, root)
    if TRAIN not in parts:
        parts = {WHOLE: root}
    classes = _class_names(tree, parts.get(TRAIN, root))
    source = _source(tree, parts, classes)
    if VALIDATION in parts and VALIDATION not in source.parts:
        # Someone meant to choose with these: holding out others instead would surprise.
        raise NoImages(tree.path / parts[VALIDATION], SUFFIXES)
    return source


def read_known_classes(tree: Tree, labels: Sequence[str], root: str = "") -> Source:
    """The same for classes that are known; pictures that lie in no class folder have no label.

    Raises: UnknownLabel, AmbiguousLabel, MixedFolder.
    """
    # A class may be called `test`: then it is no part.
    parts = {part: name for part, name in _parts(tree, root).items() if last(name) not in labels} or {WHOLE: root}
    for folder in parts.values():
        if (stray := pictures(tree, folder)) and has_classes(tree, folder):
            raise MixedFolder(tree.path / folder, last(stray[0]))
    flat = {part: [tree.sample(file, None) for file in pictures(tree, folder)] for part, folder in parts.items()}
    if any(flat.values()):
        return Source(f"{tree.kind} of pictures", (), flat)
    return _source(tree, parts, tuple(labels))


def _source(tree: Tree, parts: dict[str, str], classes: tuple[str, ...]) -> Source:
    samples = {part: _samples(tree, folder, classes) for part, folder in parts.items()}
    return Source(f"{tree.kind} of classes", classes, {part: found for part, found in samples.items() if found})


def has_classes(tree: Tree, folder: str) -> bool:
    """Whether folders with pictures lie in this one."""
    return any(has_pictures(tree, name) for name in tree.folders(folder))


def _parts(tree: Tree, root: str) -> dict[str, str]:
    """Folder names by part; the first spelling that is there. One with pictures of its own is a class."""
    by_name = {
        last(name): name for name in tree.folders(root) if has_classes(tree, name) or not has_pictures(tree, name)
    }
    found = {
        part: next((by_name[word] for word in words if word in by_name), None) for part, words in SPELLINGS.items()
    }
    return {part: name for part, name in found.items() if name is not None}


def _class_names(tree: Tree, root: str) -> tuple[str, ...]:
    """The folders with pictures in them, sorted by name."""
    names = [last(name) for name in tree.folders(root) if has_pictures(tree, name)]
    if not names:
        raise NoImages(tree.path / root, SUFFIXES)
    return usable(tree.path / root, names)


def _samples(tree: Tree, root: str, classes: Sequence[str]) -> list[Sample]:
    """In the order of the classes. An index follows from `classes`, never from the folders that happen to be here."""
    by_class: dict[int, list[Sample]] = {}
    for folder in tree.folders(root):
        if names := pictures(tree, folder):
            label = index_of(Path(tree.path, folder), last(folder), classes)
            by_class[label] = [tree.sample(name, label) for name in names]
    return [sample for _, members in sorted(by_class.items()) for sample in members]
