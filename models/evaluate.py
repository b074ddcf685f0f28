"""Metrics of a model on labelled pictures, by torchmetrics.

Where torchmetrics 1.9 and scikit-learn differ on degenerate input, scikit-learn's documented convention holds:

- Top-5 among equal probabilities: `torch.topk` promises no order; `top_k_accuracy_score` takes the highest
  index first, and so does `Evaluation.top5`.
- Average precision and ROC AUC of a class without pictures: torchmetrics answers NaN and 0, and takes the 0 into
  the macro mean; scikit-learn leaves the AUC undefined. Here such a class has None and is in no mean.
- Expected calibration error: torchmetrics closes its bins on the left and gives a confidence of exactly 1.0,
  which float32 softmax reaches often, a bin of its own; `calibration_curve` (and Guo et al. 2017, who define the
  error) closes them on the right, so that 1.0 is in the last. See `models.reliability`.
- Precision of a class that was never answered, recall of one that has no picture: torchmetrics says 0. So does
  scikit-learn in its means (`zero_division` at its default), and so do ours; class by class None is told apart
  from a real 0 (`zero_division=nan`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    multiclass_accuracy,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from bundle.manifest import Metrics, ReferenceDistribution
from models.reliability import calibration_error

CONFIDENCE_BINS = 10

Measure = Literal["precision", "recall", "f1"]
Average = Literal["macro", "micro", "weighted"]
PerClass = tuple[float | None, ...]

_MEASURES: dict[Measure, Callable[..., Tensor]] = {
    "precision": multiclass_precision,
    "recall": multiclass_recall,
    "f1": multiclass_f1_score,
}


@dataclass(frozen=True)
class Evaluation:
    """Probabilities float32 [n, K] and labels int64 [n] of the same pictures."""

    probabilities: Tensor
    labels: Tensor

    @property
    def classes(self) -> int:
        return int(self.probabilities.shape[1])

    @cached_property
    def answers(self) -> Tensor:
        """int64 [n]: the most probable class; of equal ones the first."""
        return self.probabilities.argmax(dim=1)

    @cached_property
    def correct(self) -> Tensor:
        """bool [n]."""
        return self.answers == self.labels

    @cached_property
    def confidence(self) -> Tensor:
        """float32 [n]: the probability of the answer."""
        return self.probabilities.amax(dim=1)

    @cached_property
    def pictures_by_class(self) -> Tensor:
        """int64 [K]."""
        return torch.bincount(self.labels, minlength=self.classes)

    @cached_property
    def answers_by_class(self) -> Tensor:
        """int64 [K]."""
        return torch.bincount(self.answers, minlength=self.classes)

    def top1(self) -> float:
        with _counting():
            return share(multiclass_accuracy(self.answers, self.labels, self.classes, average="micro"))

    def top5(self) -> float:
        """The share of pictures whose class is among the five most probable; 1 for five classes or fewer."""
        truth = self.probabilities.gather(1, self.labels[:, None])
        later = torch.arange(self.classes) > self.labels[:, None]
        rank = ((self.probabilities > truth) | ((self.probabilities == truth) & later)).sum(dim=1)
        return share((rank < 5).double().mean())

    def mean(self, measure: Measure, average: Average) -> float:
        """Over the classes that occur as truth or answer."""
        with _counting():
            return share(_MEASURES[measure](self.answers, self.labels, self.classes, average=average))

    def by_class(self, measure: Measure) -> PerClass:
        """None where the measure is 0/0."""
        with _counting():
            values = _MEASURES[measure](self.answers, self.labels, self.classes, average="none")
        counts = {
            "precision": self.answers_by_class,
            "recall": self.pictures_by_class,
            "f1": self.answers_by_class + self.pictures_by_class,
        }[measure]
        return tuple(share(value) if count else None for value, count in zip(values, counts.tolist(), strict=True))

    def average_precisions(self) -> PerClass:
        """Σ (recall_i - recall_i-1) · precision_i, each class against the rest; None for a class without pictures."""
        return self._one_against_rest(binary_average_precision, rest=False)

    def roc_aucs(self) -> PerClass:
        """Area under the ROC curve, each class against the rest; None where one of the two has no picture."""
        return self._one_against_rest(binary_auroc, rest=True)

    def ece(self) -> float:
        """Expected calibration error in 15 bins."""
        return share(calibration_error(self.confidence.numpy(), self.correct.numpy()))

    def metrics(self, fingerprint: str, split: str) -> Metrics:
        """The figures that go into the manifest."""
        return Metrics(
            dataset_fingerprint=fingerprint,
            split=split,
            n=len(self.labels),
            top1=self.top1(),
            top5=self.top5(),
            macro_f1=self.mean("f1", "macro"),
            ece=self.ece(),
            per_class_recall=self.by_class("recall"),
        )

    def reference_distribution(self) -> ReferenceDistribution:
        """What a service's traffic is compared to."""
        frequencies = self.answers_by_class / len(self.answers)
        histogram = torch.histc(self.confidence, bins=CONFIDENCE_BINS, min=0, max=1) / len(self.answers)
        return ReferenceDistribution(
            class_frequencies=tuple(share(value) for value in frequencies),
            confidence_histogram=tuple(share(value) for value in histogram),
        )

    def _one_against_rest(self, measure: Callable[..., Tensor], *, rest: bool) -> PerClass:
        counts = self.pictures_by_class.tolist()
        most = len(self.labels) - (1 if rest else 0)
        return tuple(
            share(measure(self.probabilities[:, index], (self.labels == index).long())) if 0 < count <= most else None
            for index, count in enumerate(counts)
        )


@contextmanager
def _counting() -> Iterator[None]:
    """Without torch's deterministic mode, which training leaves on.

    There torchmetrics counts by comparing every picture with every pair of classes: 2 GB for 2,000 pictures in
    1,000 classes. Whole numbers add up to the same either way.
    """
    before, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


def mean_of(values: PerClass) -> float | None:
    """The mean of the classes that have a value, or None."""
    known = [value for value in values if value is not None]
    return share(sum(known) / len(known)) if known else None


def share(value: Tensor | float) -> float:
    """A share of 0..1 as float, without float32's noise digits and without 1.0000001."""
    return min(1.0, max(0.0, round(float(value), 6)))
