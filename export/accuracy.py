"""The exported file's accuracy beside the checkpoint's, on the same labelled pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.evidence import Flip
from bundle.manifest import Accuracy
from export.runners import Probabilities

MOST_FLIPS = 20
"""So many kinds of flips are written down, the commonest first."""

CLASS_SLACK = 2
"""So many pictures may any class lose: in a class of ten, one picture is 10 % and says nothing."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Gate:
    """What a file may lose.

    max_drop: share of fp32's top-1 (0.01 is MLPerf's rule for quantized entries: at least 99 % of it).
    max_class_drop: share of a class's pictures, beyond CLASS_SLACK pictures; more right answers count against it.
    """

    max_drop: float = 0.01
    max_class_drop: float = 0.10

    def allows(self, top1: float, reference_top1: float) -> bool:
        """Whether the overall accuracy is high enough; a hair is left for binary fractions."""
        return top1 >= (1 - self.max_drop) * reference_top1 - 1e-12

    def failing(self, lost: NDArray[np.int64], pictures: NDArray[np.int64]) -> list[int]:
        """Classes that lost too many: int64 [K] net losses and pictures → indices, the worst first."""
        allowed = np.maximum(CLASS_SLACK, self.max_class_drop * pictures)
        return sorted(np.flatnonzero(lost > allowed).tolist(), key=lambda index: int(allowed[index] - lost[index]))


def accuracy_of(found: Probabilities, reference: Probabilities, labels: Labels, gate: Gate) -> Accuracy:
    """The paired comparison of float32 [n, K] with float32 [n, K], labels int64 [n]."""
    right, reference_right = found.argmax(1) == labels, reference.argmax(1) == labels
    lost, won = int((reference_right & ~right).sum()), int((right & ~reference_right).sum())
    top1, reference_top1 = float(right.mean()), float(reference_right.mean())
    failing = gate.failing(*class_losses(right, reference_right, labels, found.shape[1]))
    return Accuracy(
        n=len(labels),
        top1=top1,
        reference_top1=reference_top1,
        drop=(lost - won) / len(labels),
        drop_interval=paired_interval(lost, won, len(labels)),
        passed=gate.allows(top1, reference_top1) and not failing,
        max_drop=gate.max_drop,
        max_class_drop=gate.max_class_drop,
        lost=lost,
        won=won,
        recall_change=recall_change(right, reference_right, labels, found.shape[1]),
        flips=flips(found, reference),
    )


def paired_interval(lost: int, won: int, n: int) -> tuple[float, float]:
    """The 95 % interval of (lost - won) / n by Agresti and Min (2005): Wald's with half a picture in every cell.

    Unlike Wald's own and the bootstrap's it does not shrink to a point when no picture changed.
    """
    more, less, total = lost + 0.5, won + 0.5, n + 2
    centre = (more - less) / total
    half = 1.96 * ((more + less) - (more - less) ** 2 / total) ** 0.5 / total
    return max(-1.0, centre - half), min(1.0, centre + half)


def class_losses(
    right: NDArray[np.bool_], reference_right: NDArray[np.bool_], labels: Labels, classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """int64 [K] net losses (negative: gains) and int64 [K] pictures."""
    difference = reference_right.astype(np.int64) - right.astype(np.int64)
    lost = np.zeros(classes, np.int64)
    np.add.at(lost, labels, difference)
    return lost, np.bincount(labels, minlength=classes)


def recall_change(
    right: NDArray[np.bool_], reference_right: NDArray[np.bool_], labels: Labels, classes: int
) -> tuple[float | None, ...]:
    """The artefact's recall minus fp32's by class, None without a picture."""
    lost, pictures = class_losses(right, reference_right, labels, classes)
    return tuple(
        round(-float(loss) / int(count), 6) if count else None for loss, count in zip(lost, pictures, strict=True)
    )


def flips(found: Probabilities, reference: Probabilities) -> tuple[Flip, ...]:
    """The confusion of the changed answers: (fp32's class, the artefact's class) and how often, commonest first."""
    before, after = reference.argmax(1), found.argmax(1)
    changed = before != after
    pairs, counts = np.unique(np.stack([before[changed], after[changed]], axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_FLIPS]
    return tuple(Flip(reference=int(pairs[i, 0]), found=int(pairs[i, 1]), count=int(counts[i])) for i in order)
