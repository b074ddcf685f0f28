"""How far confidence and accuracy lie apart, in equal bins of the confidence.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017, section 2: M bins, each open on
the left and closed on the right; ECE = Σ |B_m|/n · |accuracy(B_m) - confidence(B_m)|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""As in the paper."""

EDGES = np.linspace(0, 1, BINS + 1)


@dataclass(frozen=True)
class Reliability:
    """float64 [BINS]: how many pictures, and the sums of their confidences and of the right answers."""

    pictures: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]

    def error(self) -> float:
        """The expected calibration error, 0..1."""
        return float(np.abs(self.correct - self.confidence).sum() / self.pictures.sum())


def bin_of(confidence: NDArray[Any]) -> NDArray[np.int64]:
    """int64 [n]: each confidence's bin, as scikit-learn's `calibration_curve` does it; 0 falls into the first."""
    return np.searchsorted(EDGES[1:-1], confidence)


def reliability(confidence: NDArray[Any], correct: NDArray[np.bool_]) -> Reliability:
    """confidence: [n] in 0..1. correct: bool [n]."""
    bins = bin_of(confidence)
    return Reliability(
        np.bincount(bins, minlength=BINS).astype(float),
        np.bincount(bins, weights=confidence, minlength=BINS).astype(float),
        np.bincount(bins, weights=correct, minlength=BINS).astype(float),
    )


def calibration_error(confidence: NDArray[Any], correct: NDArray[np.bool_]) -> float:
    """Expected calibration error, 0..1."""
    return reliability(confidence, correct).error()
