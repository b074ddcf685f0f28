"""Class names, and the index that a name has once and for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from models.errors import AmbiguousLabel, TooFewClasses, UnknownLabel, UnusableLabel


def index_of(source: Path, label: str, labels: Sequence[str]) -> int:
    """The label's index. Raises: UnknownLabel; AmbiguousLabel (ImageNet has two classes called crane)."""
    count = labels.count(label)
    if count == 0:
        raise UnknownLabel(source, label, labels)
    if count > 1:
        raise AmbiguousLabel(source, label)
    return labels.index(label)


def usable(source: Path, names: Iterable[str]) -> tuple[str, ...]:
    """The names, after making sure that a classifier can be made of them. Raises: TooFewClasses, UnusableLabel."""
    found = tuple(names)
    if len(found) < 2:
        raise TooFewClasses(source, found)
    for name in found:
        if not name.isprintable() or not name.strip():
            raise UnusableLabel(source, name)
    return found
