"""Metrics of a model on labelled pictures, by torchmetrics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_recall,
)

from bundle.manifest import Metrics, ReferenceDistribution

CONFIDENCE_BINS = 10


@dataclass(frozen=True)
class Evaluation:
    """Probabilities float32 [n, K] and labels int64 [n] of the same pictures."""

    probabilities: Tensor
    labels: Tensor

    @property
    def classes(self) -> int:
        return int(self.probabilities.shape[1])

    def metrics(self, fingerprint: str, split: str) -> Metrics:
        """The figures that go into the manifest."""
        probabilities, labels, classes = self.probabilities, self.labels, self.classes
        top1 = multiclass_accuracy(probabilities, labels, classes, average="micro")
        top5 = multiclass_accuracy(probabilities, labels, classes, average="micro", top_k=min(5, classes))
        return Metrics(
            dataset_fingerprint=fingerprint,
            split=split,
            n=len(labels),
            top1=_share(top1),
            top5=_share(top5),
            macro_f1=_share(multiclass_f1_score(probabilities, labels, classes, average="macro")),
            ece=_share(multiclass_calibration_error(probabilities, labels, classes, n_bins=15)),
            per_class_recall=self._recalls(),
        )

    def reference_distribution(self) -> ReferenceDistribution:
        """What a service's traffic is compared to."""
        confidence, predicted = self.probabilities.max(dim=1)
        frequencies = torch.bincount(predicted, minlength=self.classes) / len(predicted)
        histogram = torch.histc(confidence, bins=CONFIDENCE_BINS, min=0, max=1) / len(predicted)
        return ReferenceDistribution(
            class_frequencies=tuple(_share(value) for value in frequencies),
            confidence_histogram=tuple(_share(value) for value in histogram),
        )

    def _recalls(self) -> tuple[float | None, ...]:
        recalls = multiclass_recall(self.probabilities, self.labels, self.classes, average="none")
        present = torch.bincount(self.labels, minlength=self.classes) > 0
        return tuple(_share(recall) if there else None for recall, there in zip(recalls, present.tolist(), strict=True))


def _share(value: Tensor) -> float:
    """A share of 0..1 as float, without float32's noise digits and without 1.0000001."""
    return min(1.0, max(0.0, round(float(value), 6)))
