"""Probabilities → labelled answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class of an answer; `probability` in 0..1."""

    label: str
    index: int
    probability: float

    def as_dict(self) -> dict[str, str | int | float]:
        """For JSON."""
        return {"label": self.label, "index": self.index, "probability": self.probability}


def top_k(probabilities: NDArray[np.float32], labels: Sequence[str], k: int) -> list[Prediction]:
    """The `k` most probable classes of float32 [K], best first; equal probabilities in the order of the labels.

    Only the part that is returned is sorted: with 1,000 classes a full sort costs as much as small networks' heads.
    Raises: ValueError when the lengths differ or `k` is below 1.
    """
    if probabilities.shape != (len(labels),):
        raise ValueError(f"probabilities have shape {probabilities.shape}, expected ({len(labels)},)")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    k = min(k, len(labels))
    threshold = np.partition(probabilities, -k)[-k]
    candidates = np.flatnonzero(probabilities >= threshold)
    order = candidates[np.argsort(-probabilities[candidates], kind="stable")][:k]
    return [Prediction(labels[index], int(index), float(probabilities[index])) for index in order]
