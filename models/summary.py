"""What the pictures of a split are, for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.data import Pictures


@dataclass(frozen=True)
class Split:
    """`classes`: with pictures. `fewest`, `most`: the smallest and the largest class, and how many it has.

    `skipped`: unreadable files.
    """

    name: str
    pictures: int
    classes: int
    fewest: str
    most: str
    fingerprint: str
    skipped: tuple[tuple[Path, str], ...]


def split_of(pictures: Pictures, labels: Sequence[str]) -> Split:
    """The summary of labelled pictures."""
    counts = Counter(sample.label for sample in pictures.samples if sample.label is not None)
    ranked = sorted(counts, key=lambda index: (counts[index], index))
    fewest, most = (f"{labels[index]}: {counts[index]}" for index in (ranked[0], ranked[-1]))
    return Split(
        pictures.split, len(pictures.samples), len(counts), fewest, most, pictures.fingerprint, pictures.skipped
    )
