"""Choosing and writing the golden pictures of a bundle."""

from __future__ import annotations

from pathlib import Path

from bundle.folder import record_file
from bundle.golden import write_array
from bundle.image import SUFFIXES
from bundle.manifest import Golden
from export.evaluation import EvaluationSet
from models.data import Pictures

COUNT = 8
"""Few enough to be replayed at every start of a service, enough for a swapped pair of labels to show."""


def choose(pictures: Pictures, count: int = COUNT) -> list[int]:
    """Positions of up to `count` pictures, spread evenly over the order, which is that of the classes."""
    total = len(pictures.samples)
    picked = min(count, total)
    return [round(step * (total - 1) / max(1, picked - 1)) for step in range(picked)]


def write_golden(root: Path, evaluation: EvaluationSet) -> tuple[Golden, ...]:
    """Copy the chosen pictures' bytes and write their tensors and probabilities below `root/golden`."""
    return tuple(
        _write_one(root, evaluation, position, number) for number, position in enumerate(choose(evaluation.pictures))
    )


def _write_one(root: Path, evaluation: EvaluationSet, position: int, number: int) -> Golden:
    sample = evaluation.pictures.samples[position]
    suffix = sample.path.suffix.lower()
    image = f"golden/{number}{suffix if suffix in SUFFIXES else '.img'}"
    tensor, probabilities = f"golden/{number}.tensor.npy", f"golden/{number}.probabilities.npy"
    write_array(root / tensor, evaluation.tensors[position])
    write_array(root / probabilities, evaluation.reference[position])
    (root / image).write_bytes(sample.read())
    return Golden(
        image=record_file(root, image),
        tensor=record_file(root, tensor),
        probabilities=record_file(root, probabilities),
        label_index=sample.label,
    )
