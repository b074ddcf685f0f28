"""Time on a machine that others use too: everything that is compared runs in turn, round after round."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

import numpy as np

Work = Callable[[], object]

ROUNDS = 7
SECONDS = 0.15
"""Of each contender in each round; at least three runs."""


def in_turn(works: Mapping[str, Work], rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, list[float]]:
    """Seconds of every run by contender. One run each warms up and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, work in works.items():
                times[name] += _repeat(work, seconds)
    finally:
        if collecting:
            gc.enable()
    return times


def _repeat(work: Work, seconds: float) -> list[float]:
    found: list[float] = []
    until = time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < until:
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found


def speed_up(fast: Work, slow: Work) -> float:
    """Median time of `slow` over that of `fast`, both in turn."""
    times = in_turn({"fast": fast, "slow": slow})
    return float(np.median(times["slow"]) / np.median(times["fast"]))
