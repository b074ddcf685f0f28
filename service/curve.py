"""Whether batches pay on this machine: measured at start, for as long as it takes to see it, and remembered.

On a CPU two single-threaded calls side by side beat one batch of two for most networks; on a GPU a batch of 32
costs little more than a single picture. Nobody should have to know which: the curve says it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from service.runtime import LARGEST_MEASURED, Runtime

BATCHES = (1, 2, 4, 8, 16, LARGEST_MEASURED)
MUST_GAIN = 1.15
"""Batching has to be this much faster than single calls: handing over between threads costs something too."""
MUST_GAIN_ON_CORES = 1.5
"""On the cores themselves, where pictures share calls without being handed over (service/together.py), and where one
that is alone may have all of them only without lanes."""
STILL_GROWS = 1.05
SAME = 0.95
ROUNDS = 3
SLICE_SECONDS = 0.06
BUDGET_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """`cap`: the largest batch. `lanes`: calls side by side. `threads`: of each call.

    `together`: pictures that a thread takes at once while others wait, where there are no lanes (cap 1).
    """

    cap: int = 1
    lanes: int = 1
    threads: int = 1
    together: int = 1

    @property
    def words(self) -> str:
        """For the log."""
        if self.cap > 1:
            return f"batches of up to {self.cap} on {self.lanes} lane(s)"
        return f"up to {self.together} at once on a thread" if self.together > 1 else "one by one"


@dataclass(frozen=True)
class Point:
    """One measurement: pictures per second with `lanes` calls of `batch` pictures side by side."""

    batch: int
    lanes: int
    threads: int
    per_second: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "per_second": round(self.per_second, 1)}


def throughput(runtime: Runtime, shape: tuple[int, ...], batch: int, lanes: int, seconds: float) -> float:
    """Pictures per second with `lanes` threads that each call at least once, and again until `seconds` are over."""
    pixels = np.zeros((batch, *shape), np.uint8)
    calls: list[int] = []
    started = time.perf_counter()

    def lane() -> None:
        count = 0
        while count == 0 or time.perf_counter() - started < seconds:
            runtime.run(pixels)
            count += 1
        calls.append(count)

    threads = [threading.Thread(target=lane) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return batch * sum(calls) / (time.perf_counter() - started)


def measure(
    load: Callable[[int], Runtime], shape: tuple[int, ...], cores: int, must_gain: float = MUST_GAIN
) -> tuple[Plan, list[Point]]:
    """The plan and the curve that it follows from. `load` makes a runtime with that many threads per call.

    `shape` is [H, W, 3]. The first point is what single calls on every core reach; it stays the plan unless
    something is `must_gain` times faster. Among what is about as fast, fewer lanes and smaller batches win.
    """
    until = time.perf_counter() + BUDGET_SECONDS
    points: list[Point] = []
    # One lane first: with more, a returning client may be taken alone by a free lane while its neighbours arrive.
    layouts = dict.fromkeys(((1, 1), (cores, 1), (1, cores)))
    single = next(_layout(load(1), shape, cores, 1, until))
    points.append(single)
    for lanes, threads in layouts:
        if time.perf_counter() < until:
            points += _layout(load(threads), shape, lanes, threads, until)
    batches = [point for point in points if point.batch > 1]
    best = max((point.per_second for point in batches), default=0.0)
    near = (point for point in batches if point.per_second >= SAME * best)
    chosen = min(near, key=lambda point: (point.lanes, point.batch), default=single)
    if best < must_gain * single.per_second or not _confirmed(load, shape, single, chosen, must_gain):
        return Plan(1, cores, 1), points
    return Plan(chosen.batch, chosen.lanes, chosen.threads), points


def _confirmed(
    load: Callable[[int], Runtime], shape: tuple[int, ...], single: Point, chosen: Point, must_gain: float
) -> bool:
    """Whether batches win again, taking turns: one busy moment of the machine must not decide."""
    one, many = load(single.threads), load(chosen.threads)
    reached = [0.0, 0.0]
    for _ in range(ROUNDS):
        reached[0] += throughput(one, shape, 1, single.lanes, SLICE_SECONDS)
        reached[1] += throughput(many, shape, chosen.batch, chosen.lanes, SLICE_SECONDS)
    return reached[1] >= must_gain * reached[0]


def _layout(runtime: Runtime, shape: tuple[int, ...], lanes: int, threads: int, until: float) -> Iterator[Point]:
    """Larger and larger batches, until two steps in a row gained nothing or the time is up."""
    best, idle = 0.0, 0
    runtime.run(np.zeros((1, *shape), np.uint8))
    for batch in BATCHES:
        found = throughput(runtime, shape, batch, lanes, SLICE_SECONDS)
        yield Point(batch, lanes, threads, found)
        idle = 0 if found > STILL_GROWS * best else idle + 1
        best = max(best, found)
        if idle == 2 or time.perf_counter() > until:
            return
