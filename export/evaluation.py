"""The pictures that an export is judged on, and PyTorch's answers for them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bundle.manifest import Metrics, ReferenceDistribution
from bundle.preprocess import Pixels
from export.runners import Probabilities
from models.checkpoint import Checkpoint
from models.data import Pictures
from models.evaluate import Evaluation
from models.inference import logits_of, probabilities_of, use_threads

BATCH = 32


@dataclass(frozen=True)
class EvaluationSet:
    """Checked pictures, their tensors (uint8 [n, H, W, 3], on disk), and the checkpoint's probabilities [n, K]."""

    pictures: Pictures
    tensors: Pixels
    reference: Probabilities

    def batches(self) -> Iterator[Pixels]:
        """Every target sees the same batches."""
        for start in range(0, len(self.tensors), BATCH):
            yield np.asarray(self.tensors[start : start + BATCH])

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """int64 [n], or None when the pictures carry none."""
        if not self.pictures.labelled:
            return None
        return np.array([sample.label for sample in self.pictures.samples], dtype=np.int64)

    def metrics(self) -> Metrics | None:
        """The checkpoint's metrics on these pictures."""
        labels = self.labels
        if labels is None:
            return None
        evaluation = Evaluation(torch.from_numpy(self.reference), torch.from_numpy(labels))
        return evaluation.metrics(self.pictures.fingerprint, self.pictures.split)

    def reference_distribution(self) -> ReferenceDistribution:
        """What a service's traffic is compared to; it needs no labels."""
        unlabelled = torch.zeros(len(self.reference), dtype=torch.int64)
        return Evaluation(torch.from_numpy(self.reference), unlabelled).reference_distribution()


@contextmanager
def evaluation_set(checkpoint: Checkpoint, pictures: Pictures) -> Iterator[EvaluationSet]:
    """Decode and preprocess once, for every target; on disk, so that memory does not grow with the pictures."""
    manifest = checkpoint.manifest
    crop = manifest.preprocess.crop
    use_threads(crop)
    with tempfile.TemporaryDirectory() as scratch:
        tensors = np.lib.format.open_memmap(
            os.path.join(scratch, "tensors.npy"), "w+", np.uint8, (len(pictures.samples), crop, crop, 3)
        )
        for index, tensor in enumerate(pictures.tensors(manifest.preprocess)):
            tensors[index] = tensor
        starts = range(0, len(tensors), BATCH)
        logits = logits_of(
            checkpoint.network, manifest.preprocess, (tensors[start : start + BATCH] for start in starts)
        )
        yield EvaluationSet(pictures, tensors, probabilities_of(logits, manifest.temperature))
