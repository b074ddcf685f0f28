"""Runtimes for tests: the tiny bundle's answers from something that is held back, or that behaves like a GPU."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from service import runtime
from service.runtime import Batch, Probabilities
from tests.tiny import probabilities_of


class Recorded:
    """Computes the tiny bundle's answers in numpy and remembers the batch sizes."""

    provider = "SimulatedExecutionProvider"
    explains = False

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, batch: Batch) -> Probabilities:
        self.sizes.append(len(batch))
        return np.stack([probabilities_of(pixels) for pixels in batch])

    def describe(self) -> dict[str, Any]:
        return {"runtime": "simulated", "runtime_version": "1", "providers": [self.provider]}


class Device(Recorded):
    """One call at a time; a batch of n takes `base + n * each` seconds, so that 32 cost little more than one."""

    def __init__(self, base: float, each: float) -> None:
        super().__init__()
        self._base, self._each = base, each
        self._lock = threading.Lock()

    def run(self, batch: Batch) -> Probabilities:
        with self._lock:
            time.sleep(self._base + len(batch) * self._each)  # this is the device's own time, not a wait for one
            return super().run(batch)

    def limit(self, batch: int) -> float:
        """Pictures per second when every call has `batch` of them."""
        return batch / (self._base + batch * self._each)


class Held(Recorded):
    """Once `hold` was called, every call waits until `release` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()
        self.release.set()
        self.running = threading.Semaphore(0)

    def hold(self) -> None:
        self.release.clear()
        self.sizes.clear()

    def run(self, batch: Batch) -> Probabilities:
        if not self.release.is_set():
            self.running.release()
            assert self.release.wait(10)
        return super().run(batch)

    async def until_running(self) -> None:
        """Until one more call is held."""
        assert await asyncio.to_thread(self.running.acquire, timeout=10)


class Poisoned(Held):
    """Fails with every batch that has a white picture."""

    def run(self, batch: Batch) -> Probabilities:
        if (batch == 255).all(axis=(1, 2, 3)).any():
            raise RuntimeError("poison")
        return super().run(batch)


class Unhurried(Recorded):
    """A call takes as long as it takes `gathered`, which is given the batch's size, to say yes."""

    gathered: Callable[[int], bool] = staticmethod(lambda _: True)

    def run(self, batch: Batch) -> Probabilities:
        until = time.monotonic() + 10
        while not self.gathered(len(batch)):
            assert time.monotonic() < until
            time.sleep(0.001)
        return super().run(batch)


@contextmanager
def loaded(simulated: Recorded) -> Iterator[None]:
    """Within the block every .onnx artefact is run by `simulated`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(runtime.LOADERS, ".onnx", lambda *_: simulated)
        yield
