"""torch's view of the pictures, and of features that stand for them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bundle.cores import available_cores
from bundle.errors import ImageError
from models.augment import Augment
from models.data import Pictures
from models.errors import PictureLost
from models.order import Draw, EvaluationOrder, TrainingOrder, seed_of

# A loader's process is a fork. If it collected what was garbage before, it would wait for ever for threads that only
# the process has that it was forked from: those of an onnxruntime session, for one. This holds for every fork.
os.register_at_fork(before=gc.freeze, after_in_parent=gc.unfreeze)

UNCOUNTED = -1
"""The label of a picture that only fills up a batch."""

Order = TrainingOrder | EvaluationOrder
Batches = DataLoader[tuple[Tensor, Tensor]]


class PictureDataset(Dataset[tuple[Tensor, Tensor]]):
    """Draw → uint8 [crop, crop, 3] and int64: the class index, or UNCOUNTED."""

    def __init__(self, pictures: Pictures, augment: Augment, seed: int) -> None:
        self.samples = pictures.samples
        self.augment = augment
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        sample = self.samples[draw.picture]
        if sample.label is None:
            raise ValueError(f"{sample.path} has no label")
        try:
            image = sample.image()
        except (ImageError, OSError) as error:
            raise PictureLost(f"{sample.path}: {error}") from error
        with _drawing_from(seed_of(self.seed, draw.epoch, draw.picture)):
            pixels = self.augment(image)
        return torch.from_numpy(pixels), torch.tensor(sample.label if draw.counted else UNCOUNTED)


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """torch's global generator on the CPU, seeded; afterwards it goes on as if nothing had been drawn.

    `torch.manual_seed` seeds every device besides, and takes longer over that than a small picture takes altogether.
    """
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(before)


def picture_loader(pictures: Pictures, augment: Augment, batch_size: int, order: Order, seed: int) -> Batches:
    """Batches of uint8 [N, crop, crop, 3] and int64 [N]; `batch_size`: of this process."""
    workers = max(1, available_cores() // order.place.world)
    return DataLoader(
        PictureDataset(pictures, augment, seed),
        batch_size=batch_size,
        sampler=order,
        num_workers=workers,
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
    )


def start_processes(loader: Batches) -> None:
    """Start the loader's processes now instead of with its first epoch.

    Before the processes of a training have found each other, that is: from then on gloo has threads in each, and who
    is forked from those may wait for ever for a lock that one of them held; a loader's own threads, which feed queues,
    hold none that matters. What they read ahead is read again.
    """
    if loader.num_workers:
        iter(loader)


class FeatureDataset(Dataset[tuple[Tensor, Tensor]]):
    """float32 [F] in place of each picture; a whole batch is taken from the array at once."""

    def __init__(self, features: NDArray[np.float32], labels: Tensor) -> None:
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
        indices = [draw.picture for draw in draws]
        counted = torch.tensor([draw.counted for draw in draws])
        labels = torch.where(counted, self.labels[indices], UNCOUNTED)
        return torch.from_numpy(self.features[indices]), labels


def feature_loader(features: NDArray[np.float32], labels: Tensor, batch_size: int, order: Order) -> Batches:
    """Batches of float32 [N, F] and int64 [N]; `batch_size`: of this process."""
    return DataLoader(FeatureDataset(features, labels), batch_size=batch_size, sampler=order, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch
