"""A picture that nobody else waits beside may have every core: one call on all of them mostly answers sooner.

Under load it is the other way round: calls of one thread each, side by side, get more done (docs/performance.md).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from service.runtime import Batch, Probabilities, Runtime

Run = Callable[[Batch], Probabilities]

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


AWAKE = 0.008
"""Seconds after a call in which the cores that it had are still awake."""
TRIAL = 8
"""Pictures in a row by which a way is judged, but for the first SETTLING."""
SETTLING = 3
EXPLORED = 256
_WEIGHT = 0.3


class Lone:
    """Runs a picture that is alone on all cores or on one, whichever has taken less time of late.

    Right after another picture, all cores gain nearly their number. After a pause a virtual machine may need 5 ms to
    get its second core back, longer than a small network takes on the first. So both ways are timed, with and without
    a pause before: first TRIAL pictures each, and later TRIAL of EXPLORED go the other way. Several in a row: the
    first calls on all cores after a while without are slow, even where the next ones are fast.
    """

    def __init__(self, wide: Run, one: Run) -> None:
        self._ways = (wide, one)
        self._seconds = {paused: [0.0, 0.0] for paused in (True, False)}
        self._runs = {True: 0, False: 0}
        self._ended = -math.inf

    def run(self, batch: Batch) -> Probabilities:
        """float32 [1, K] of uint8 [1, H, W, 3]."""
        started = time.perf_counter()
        paused = started - self._ended > AWAKE
        runs = self._runs[paused]
        self._runs[paused] += 1
        way = self._choose(paused, runs)
        probabilities = self._ways[way](batch)
        self.ended()
        if runs % TRIAL >= SETTLING:
            self._learn(paused, way, self._ended - started)
        return probabilities

    def ended(self) -> None:
        """The model has run, be it for this picture or for one of many."""
        self._ended = time.perf_counter()

    def _choose(self, paused: bool, runs: int) -> int:
        if runs < 2 * TRIAL:
            return runs // TRIAL
        best = min((0, 1), key=self._seconds[paused].__getitem__)
        return 1 - best if runs % EXPLORED < TRIAL else best

    def _learn(self, paused: bool, way: int, seconds: float) -> None:
        known = self._seconds[paused]
        known[way] = seconds if known[way] == 0.0 else known[way] + _WEIGHT * (seconds - known[way])
