"""One picture, and pictures in a fixed order: read when they are needed, never kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

from bundle.cores import available_cores
from bundle.image import decode, read_image_bytes
from bundle.manifest import Preprocess
from bundle.preprocess import Pixels, preprocess

T = TypeVar("T")
R = TypeVar("R")


class Store(Protocol):
    """Something that holds pictures and is no folder: an archive, a file of pixels.

    It is shared by its samples, by threads and, pickled or forked, by a loader's processes.
    """

    def read(self, path: Path) -> bytes:
        """The encoded picture that a sample calls `path`. Raises: ImageError, OSError."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture: its class index (None when unlabelled), its content's sha256 once checked.

    path: where it lies; inside a store, the store's own path goes on with the name that the picture has there.
    """

    path: Path
    label: int | None
    sha256: str = ""
    store: Store | None = None

    def read(self) -> bytes:
        """The encoded picture. Raises: ImageError, OSError."""
        return read_image_bytes(self.path) if self.store is None else self.store.read(self.path)

    def image(self) -> Image.Image:
        """The upright RGB image. Raises: ImageError, OSError."""
        return decode(self.read())


@dataclass(frozen=True)
class Pictures:
    """Pictures in a fixed order. `skipped`: unreadable ones that `--skip-bad` left out, with the reason."""

    samples: tuple[Sample, ...]
    split: str
    skipped: tuple[tuple[Path, str], ...] = ()

    @property
    def labelled(self) -> bool:
        return all(sample.label is not None for sample in self.samples)

    @property
    def fingerprint(self) -> str:
        """sha256 over every picture's content and label, in order: the same pictures in another place are the same."""
        digest = hashlib.sha256()
        for sample in self.samples:
            digest.update(f"{sample.sha256} {sample.label}\n".encode())
        return digest.hexdigest()

    def tensors(self, spec: Preprocess) -> Iterator[Pixels]:
        """Preprocessed uint8 [H, W, 3], decoded by a few threads, in order and a bounded number ahead."""
        yield from map_in_order(lambda sample: preprocess(sample.image(), spec), self.samples)

    def batches(self, spec: Preprocess, size: int = 32) -> Iterator[Pixels]:
        """uint8 [up to `size`, H, W, 3]."""
        batch: list[Pixels] = []
        for tensor in self.tensors(spec):
            batch.append(tensor)
            if len(batch) == size:
                yield np.stack(batch)
                batch = []
        if batch:
            yield np.stack(batch)


def map_in_order(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """`map` on as many threads as there are cores; never more than a few results wait in memory."""
    threads = available_cores()
    with ThreadPoolExecutor(threads) as pool:
        pending = []
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 4 * threads:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()
