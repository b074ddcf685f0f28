from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.samples import Sample
from models.splits import TEST, TRAIN, VALIDATION, hold_out, part_of


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_a_split_loses_and_doubles_nothing(labels: list[int], share: float, seed: int) -> None:
    samples = [Sample(Path(f"{number:03d}.png"), label) for number, label in enumerate(labels)]
    train, held_out = hold_out(samples, share, seed)
    assert sorted(sample.path for sample in train + held_out) == [sample.path for sample in samples]
    assert {sample.label for sample in train} == set(labels)


def test_a_split_stays_what_it_was() -> None:
    """Checkpoints name a seed; another split for the same seed would be other validation pictures."""
    samples = [Sample(Path(f"{number:02d}.png"), number % 2) for number in range(20)]
    _, held_out = hold_out(samples, 0.2, 7)
    assert [sample.path.stem for sample in held_out] == ["06", "16", "03", "05"]


@pytest.mark.parametrize(
    ("word", "part"),
    [("train", TRAIN), ("Training", TRAIN), ("val", VALIDATION), ("VALID", VALIDATION), ("test", TEST), ("dev", None)],
)
def test_parts_have_several_spellings(word: str, part: str | None) -> None:
    assert part_of(word) == part
