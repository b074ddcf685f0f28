"""What the parts of a data set are called, and how one part becomes two."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.samples import Sample

TRAIN, VALIDATION, TEST = "train", "validation", "test"
WHOLE = "all"
"""The one part of a source that says nothing of parts."""

SPELLINGS = {TRAIN: ("train", "training"), VALIDATION: ("val", "valid", "validation"), TEST: ("test", "testing")}
"""Folder names and cells of a table's `split` column, by part; case does not matter in a table."""


@dataclass(frozen=True)
class Source:
    """What a source holds before a picture has been decoded.

    kind: in words. classes: in the order that their indices follow; empty when the pictures are unlabelled.
    parts: samples by TRAIN, VALIDATION and TEST, or all of them under WHOLE.
    """

    kind: str
    classes: tuple[str, ...]
    parts: Mapping[str, Sequence[Sample]]


def part_of(word: str) -> str | None:
    """The part that a spelling means."""
    return next((part for part, words in SPELLINGS.items() if word.lower() in words), None)


def hold_out(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train, held out): `share` of every class, at least one picture where a class has two; order is kept."""
    generator = random.Random(seed)
    members: dict[int, list[int]] = {}
    for position, sample in enumerate(samples):
        members.setdefault(sample.label or 0, []).append(position)
    train: list[int] = []
    held_out: list[int] = []
    for _, positions in sorted(members.items()):
        generator.shuffle(positions)
        count = min(max(1, round(share * len(positions))), len(positions) - 1)
        held_out += sorted(positions[:count])
        train += sorted(positions[count:])
    return [samples[position] for position in train], [samples[position] for position in held_out]
