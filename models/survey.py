"""What is in a data set: counts, sizes, imbalance, bad files, pictures that are there twice."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.data import open_source
from models.duplicates import Duplicate, duplicates
from models.errors import NoImages
from models.inspection import Inspection, Track, inspect
from models.samples import Sample
from models.splits import TRAIN, WHOLE, Source


@dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of some numbers."""

    smallest: int
    median: int
    largest: int


@dataclass(frozen=True)
class Part:
    """One split once every picture of it has been decoded.

    counts: readable pictures by class. good: them, with their sha256. bad: (path, reason).
    """

    name: str
    counts: tuple[int, ...]
    good: tuple[Sample, ...]
    bad: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class Survey:
    """A data set as `convoy data` shows it. width, height, short: pixels; None when no picture is readable.

    bytes: of the encoded pictures, all together.
    """

    path: Path
    kind: str
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    bytes: int
    width: Spread | None
    height: Spread | None
    short: Spread | None

    @property
    def pictures(self) -> int:
        return sum(len(part.good) for part in self.parts)

    @property
    def bad(self) -> tuple[tuple[Path, str], ...]:
        return tuple(one for part in self.parts for one in part.bad)

    @property
    def duplicates(self) -> tuple[Duplicate, ...]:
        return duplicates({part.name: part.good for part in self.parts})

    @property
    def imbalance(self) -> float | None:
        """The largest class by the smallest in what is trained on; None without classes or with an empty one."""
        counts = self._trained().counts
        return max(counts) / min(counts) if all(counts) and counts else None

    @property
    def extremes(self) -> tuple[str, str] | None:
        """The names of the smallest and the largest class in what is trained on."""
        counts = self._trained().counts
        if not counts:
            return None
        return self.classes[counts.index(min(counts))], self.classes[counts.index(max(counts))]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "classes": list(self.classes),
            "splits": {
                part.name: {"pictures": len(part.good), "bad": len(part.bad), "by_class": list(part.counts)}
                for part in self.parts
            },
            "bytes": self.bytes,
            **{name: _spread(getattr(self, name)) for name in ("width", "height", "short")},
            "imbalance": self.imbalance,
            "bad": [{"path": str(path), "reason": reason} for path, reason in self.bad],
            "duplicates": [_duplicate(one, self.classes) for one in self.duplicates],
        }

    def _trained(self) -> Part:
        return next((part for part in self.parts if part.name in (TRAIN, WHOLE)), self.parts[0])


def survey(path: Path, *, track: Track | None = None) -> Survey:
    """Decode every picture of whatever `--data` may name; one that cannot be decoded is a finding, not an error.

    Raises: DataNotFound, NoImages, and the errors of the format.
    """
    source = open_survey(path)
    samples = [sample for part in source.parts.values() for sample in part]
    inspections = inspect(samples)
    found = list(track(inspections, len(samples)) if track else inspections)
    parts: list[Part] = []
    start = 0
    for name, members in source.parts.items():
        parts.append(_part(name, members, found[start : start + len(members)], len(source.classes)))
        start += len(members)
    good = [one for one in found if not one.reason]
    return Survey(
        path,
        source.kind,
        source.classes,
        tuple(parts),
        bytes=sum(one.bytes for one in good),
        width=_spread_of([one.width for one in good]),
        height=_spread_of([one.height for one in good]),
        short=_spread_of([min(one.width, one.height) for one in good]),
    )


def open_survey(path: Path) -> Source:
    """As `open_source`, and a flat folder of pictures without labels too."""
    try:
        return open_source(path)
    except NoImages:
        flat = open_source(path, ())
        if not any(flat.parts.values()):
            raise
        return flat


def _part(name: str, samples: Sequence[Sample], found: Sequence[Inspection], classes: int) -> Part:
    pairs = list(zip(samples, found, strict=True))
    good = tuple(replace(sample, sha256=one.sha256) for sample, one in pairs if not one.reason)
    counts = Counter(sample.label for sample in good)
    bad = tuple((sample.path, one.reason) for sample, one in pairs if one.reason)
    return Part(name, tuple(counts[label] for label in range(classes)), good, bad)


def _spread_of(values: Iterable[int]) -> Spread | None:
    ordered = sorted(values)
    return Spread(ordered[0], int(statistics.median(ordered)), ordered[-1]) if ordered else None


def _spread(spread: Spread | None) -> dict[str, int] | None:
    return None if spread is None else {"min": spread.smallest, "median": spread.median, "max": spread.largest}


def _duplicate(one: Duplicate, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "leaks": one.leaks,
        "contradicts": one.contradicts,
        "files": [
            {
                "split": part,
                "path": str(sample.path),
                "label": None if sample.label is None else classes[sample.label],
            }
            for part, sample in one.places
        ],
    }
