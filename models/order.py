"""Which picture comes when: decided by seed and epoch alone.

Neither the number of processes, nor that of a loader's workers, nor a run's being resumed changes a picture's place
or its augmentation. One process and four make the same steps of the same global batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """A picture to load. counted: False for those that only fill up the last batch of an evaluation."""

    epoch: int
    picture: int
    counted: bool = True


@dataclass(frozen=True)
class Place:
    """The process: `rank` of `world`."""

    rank: int = 0
    world: int = 1

    @property
    def alone(self) -> bool:
        return self.world == 1


def seed_of(*parts: int) -> int:
    """A seed of 63 bits that mixes the parts: neighbouring pictures and epochs have nothing in common."""
    text = ",".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


class TrainingOrder(Sampler[Draw]):
    """This process's share of every global batch, in an order that is new in each epoch.

    weights: one per picture, for drawing with replacement; None takes every picture once.
    The last batch is filled from the epoch's start to a multiple of the processes.
    """

    def __init__(self, count: int, batch_size: int, seed: int, place: Place, weights: Sequence[float] | None) -> None:
        self.count, self.batch_size, self.seed, self.place = count, batch_size, seed, place
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls it before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // self.place.world)

    def __iter__(self) -> Iterator[Draw]:
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.epoch))
        if self.weights is None:
            order = torch.randperm(self.count, generator=generator)
        else:
            order = torch.multinomial(self.weights, self.count, replacement=True, generator=generator)
        order = torch.cat([order, order.repeat(-(-self.place.world // self.count))[: -self.count % self.place.world]])
        for start in range(0, len(order), self.batch_size):
            for index in order[start : start + self.batch_size][self.place.rank :: self.place.world].tolist():
                yield Draw(self.epoch, index)


class EvaluationOrder(Sampler[Draw]):
    """Every picture once over all processes; each process gets as many, the surplus uncounted."""

    def __init__(self, count: int, place: Place) -> None:
        self.count, self.place = count, place

    def __len__(self) -> int:
        return -(-self.count // self.place.world)

    def __iter__(self) -> Iterator[Draw]:
        for index in range(self.place.rank, len(self) * self.place.world, self.place.world):
            yield Draw(0, index % self.count, counted=index < self.count)
