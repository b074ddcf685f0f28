"""The same picture more than once, by its content: what training has seen proves nothing on validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.samples import Sample


@dataclass(frozen=True)
class Duplicate:
    """One content that lies in several places: (part, sample) in order."""

    places: tuple[tuple[str, Sample], ...]

    @property
    def leaks(self) -> bool:
        """It lies in more than one part."""
        return len({part for part, _ in self.places}) > 1

    @property
    def contradicts(self) -> bool:
        """It is labelled in more than one way."""
        return len({sample.label for _, sample in self.places}) > 1

    def __str__(self) -> str:
        return " = ".join(f"{part}: {sample.path}" for part, sample in self.places)


def duplicates(parts: Mapping[str, Iterable[Sample]]) -> tuple[Duplicate, ...]:
    """Of checked samples, in the order in which the first of each appears."""
    first: dict[str, tuple[str, Sample]] = {}
    groups: dict[str, list[tuple[str, Sample]]] = {}
    for part, samples in parts.items():
        for sample in samples:
            place = (part, sample)
            before = first.setdefault(sample.sha256, place)
            if before is not place:
                groups.setdefault(sample.sha256, [before]).append(place)
    return tuple(Duplicate(tuple(places)) for places in groups.values())


def leaked(parts: Mapping[str, Iterable[Sample]]) -> tuple[Duplicate, ...]:
    """Those of `duplicates` that lie in more than one part."""
    return tuple(duplicate for duplicate in duplicates(parts) if duplicate.leaks)


def warning(found: tuple[Duplicate, ...]) -> str:
    """One line on pictures that lie in more than one part."""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return (
        f"{len(found)} picture(s) lie in more than one split, so the figures are better than the model: "
        f"{found[0]}{more}: `convoy data` lists them"
    )
