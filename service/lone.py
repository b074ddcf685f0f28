"""A picture that nobody else waits beside gets every core: one call on all of them answers sooner.

Under load it is the other way round: calls of one thread each, side by side, get more done (docs/performance.md).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from service.runtime import Runtime

MUST_GAIN = 1.15
"""One call has to be this much faster on all cores to be worth the memory of a second session."""
CALLS = 4
PATIENCE = 0.3
"""Seconds for the gain to show: whoever else is busy while this is measured has one of the cores."""


def spread(load: Callable[[int], Runtime], shape: tuple[int, ...], threads: int) -> Runtime | None:
    """A runtime of `threads` per call, or None where that hardly hastens a picture.

    `load` makes a runtime with that many threads per call; `shape` is [H, W, 3]. Many small layers, and integers
    more than floats, leave too little to share.
    """
    pixels = np.zeros((1, *shape), np.uint8)
    one, wide = load(1), load(threads)
    least = {one: math.inf, wide: math.inf}
    begun, calls = time.perf_counter(), 0
    while calls < CALLS or (least[one] < MUST_GAIN * least[wide] and time.perf_counter() - begun < PATIENCE):
        calls += 1
        for runtime in least:
            started = time.perf_counter()
            runtime.run(pixels)
            least[runtime] = min(least[runtime], time.perf_counter() - started)
    return wide if least[one] >= MUST_GAIN * least[wide] else None
