"""The exported file's accuracy beside the checkpoint's, on the same labelled pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Accuracy
from export.runners import Probabilities

MIN_SHARE = 0.99
"""At least this share of fp32's top-1 (MLPerf's rule for quantized entries)."""


def accuracy_of(found: Probabilities, reference: Probabilities, labels: NDArray[np.int64]) -> Accuracy:
    """The paired comparison; the interval is the normal 95 % interval of the mean paired difference."""
    right, reference_right = found.argmax(1) == labels, reference.argmax(1) == labels
    difference = reference_right.astype(float) - right.astype(float)
    drop = float(difference.mean())
    half = 1.96 * float(difference.std(ddof=1)) / len(labels) ** 0.5 if len(labels) > 1 else 0.0
    top1, reference_top1 = float(right.mean()), float(reference_right.mean())
    return Accuracy(
        n=len(labels),
        top1=top1,
        reference_top1=reference_top1,
        drop=drop,
        drop_interval=(drop - half, drop + half),
        passed=top1 >= MIN_SHARE * reference_top1,
    )
