"""Whether the traffic still looks like the pictures that the bundle was evaluated on.

Population stability index, the sum of (p - q) ln(p / q) over bins, of the predicted classes and of the confidence,
for the last pictures against the bundle's reference distribution. By custom below 0.1 is no change, above 0.25 a
large one; but few pictures in many classes give as much by chance alone, so the expected value without any change
stands beside it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import ReferenceDistribution

FEWEST = 100
"""Below this there is nothing to say."""
HALF = 0.5
"""Added to every bin of both sides, so that an empty one costs something finite (Jeffreys)."""


def stability_index(
    counts: NDArray[np.int64], reference: NDArray[np.float64], reference_size: int
) -> tuple[float, float]:
    """The index of counts [B] against shares [B] of `reference_size` pictures, and what chance alone would give."""
    bins, size = len(counts), int(counts.sum())
    found = (counts + HALF) / (size + HALF * bins)
    expected = (reference * reference_size + HALF) / (reference_size + HALF * bins)
    index = float(((found - expected) * np.log(found / expected)).sum())
    used = int(((counts > 0) | (reference > 0)).sum())
    return index, (used - 1) * (1 / max(1, size) + 1 / reference_size)


class Drift:
    """The last `window` answers of one model. Safe to share between threads."""

    def __init__(self, reference: ReferenceDistribution, reference_size: int, window: int) -> None:
        self._classes = np.array(reference.class_frequencies)
        self._confidence = np.array(reference.confidence_histogram)
        self._size, self._window = reference_size, window
        self._recent: deque[tuple[int, int]] = deque()
        self._counts = np.zeros(len(self._classes), np.int64), np.zeros(len(self._confidence), np.int64)
        self._lock = threading.Lock()

    def add(self, index: int, probability: float) -> None:
        """One answered picture: its most probable class and that one's probability."""
        level = min(int(probability * len(self._confidence)), len(self._confidence) - 1)
        with self._lock:
            self._recent.append((index, level))
            self._count(index, level, 1)
            if len(self._recent) > self._window:
                self._count(*self._recent.popleft(), -1)

    def _count(self, index: int, level: int, by: int) -> None:
        self._counts[0][index] += by
        self._counts[1][level] += by

    def report(self) -> dict[str, Any]:
        """For JSON: `classes` and `confidence`, each with `psi` and `by_chance`; both None for too few pictures."""
        with self._lock:
            size, (classes, confidence) = len(self._recent), (self._counts[0].copy(), self._counts[1].copy())
        found: dict[str, Any] = {"pictures": size, "window": self._window, "reference_pictures": self._size}
        for name, counts, reference in (
            ("classes", classes, self._classes),
            ("confidence", confidence, self._confidence),
        ):
            if size < FEWEST:
                found[name] = {"psi": None, "by_chance": None}
            else:
                index, chance = stability_index(counts, reference, self._size)
                found[name] = {"psi": round(index, 6), "by_chance": round(chance, 6)}
        return found
