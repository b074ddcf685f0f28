"""torch's view of the pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from bundle.cores import available_cores
from models.augment import Augment
from models.data import Pictures
from models.inference import SMALL_CROP


class PictureDataset(Dataset[tuple[Tensor, Tensor]]):
    """uint8 [crop, crop, 3] and the class index."""

    def __init__(self, pictures: Pictures, augment: Augment) -> None:
        self.samples = pictures.samples
        self.augment = augment

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self.samples[index]
        if sample.label is None:
            raise ValueError(f"{sample.path} has no label")
        return torch.from_numpy(self.augment(sample.image())), torch.tensor(sample.label)


def picture_loader(
    pictures: Pictures, augment: Augment, batch_size: int, *, shuffle: bool
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of uint8 [N, crop, crop, 3] and int64 [N]."""
    # A small picture is decoded faster than it is sent between processes.
    workers = available_cores() if augment.spec.crop >= SMALL_CROP else 0
    return DataLoader(
        PictureDataset(pictures, augment),
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def feature_loader(
    features: Tensor, labels: Tensor, batch_size: int, *, shuffle: bool
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of cached features, float32 [N, F], and int64 [N]."""
    pairs: Dataset[Any] = TensorDataset(features, labels)
    return DataLoader(pairs, batch_size=batch_size, shuffle=shuffle)
