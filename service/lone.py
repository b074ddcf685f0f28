"""A picture that nobody else waits beside may have every core: one call on all of them mostly answers sooner.

Under load it is the other way round: calls of one thread each, side by side, get more done (docs/performance.md).
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from service.runtime import Batch, Probabilities, Runtime

Run = Callable[[Batch], Probabilities]

MUST_GAIN = 1.05
"""One call has to be this much faster on all cores to be worth the memory of a second session.

Little, for what two virtual cores gain changes by the second with where their host has put them: MobileNetV3 between
1.1 and 1.7 times. Which way a picture goes is found out again and again; whether there are two ways, only here.
"""
CALLS = 4
"""In a row: the first on all cores after one on a single core is slow."""
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
    begun = time.perf_counter()
    while least[one] == math.inf or (least[one] < MUST_GAIN * least[wide] and time.perf_counter() - begun < PATIENCE):
        for runtime in least:
            for _ in range(CALLS):
                started = time.perf_counter()
                runtime.run(pixels)
                least[runtime] = min(least[runtime], time.perf_counter() - started)
    return wide if least[one] >= MUST_GAIN * least[wide] else None


AWAKE = 0.008
"""Seconds after a call in which the cores that it had are still awake."""
SETTLING, SETTLING_PAUSED = 32, 3
"""Pictures after a change of ways until the cores have settled; where a pause was before each, they never do."""
JUDGED = 16
"""The latest pictures by which a way is judged."""
OFTEN, SELDOM = 512, 8192
"""Pictures between two looks at the other way: at first, and once the same way was found to be best a few times."""


class Choice:
    """Which of two ways has taken less time of late: 0 or 1.

    A way is kept for `settling` pictures, which say nothing, and JUDGED more. Its median counts: a single slow call
    is somebody else's doing.
    """

    def __init__(self, settling: int) -> None:
        self.settling = settling
        self._seconds: tuple[deque[float], deque[float]] = (deque(maxlen=JUDGED), deque(maxlen=JUDGED))
        self._way = self._best = 0
        self._in_a_row = self._since_look = 0
        self._look_after = OFTEN
        self._left = self.stay

    @property
    def stay(self) -> int:
        """Pictures until it is decided anew."""
        return self.settling + JUDGED

    def next(self) -> int:
        """The way of the next picture."""
        if self._left == 0:
            self._decide()
        self._left -= 1
        return self._way

    def took(self, way: int, seconds: float) -> None:
        """What a picture needed that went this way."""
        if way != self._way:
            return
        self._in_a_row += 1
        if self._in_a_row > self.settling:
            self._seconds[way].append(seconds)

    def _decide(self) -> None:
        way = self._wanted()
        if way != self._way:
            self._way, self._in_a_row = way, 0
        self._left = self.stay

    def _wanted(self) -> int:
        for way in (0, 1):
            if not self._seconds[way]:
                return way
        best = min((0, 1), key=self._median)
        if best != self._best:
            self._best, self._look_after = best, OFTEN
        self._since_look += self.stay
        if self._since_look < self._look_after:
            return best
        self._since_look, self._look_after = 0, min(SELDOM, 2 * self._look_after)
        return 1 - best

    def _median(self, way: int) -> float:
        return sorted(self._seconds[way])[len(self._seconds[way]) // 2]


class Lone:
    """Runs a picture that is alone on all cores or on one, whichever has taken less time of late.

    Right after another picture, all cores gain nearly their number, but a virtual machine whose second core was idle
    may need twenty calls or more until it has it for good. After a pause it may need 5 ms to get it back at all,
    longer than a small network takes on the first. So both ways are timed, with and without a pause before.
    """

    def __init__(self, wide: Run, one: Run) -> None:
        self._ways = (wide, one)
        self._choices = {True: Choice(SETTLING_PAUSED), False: Choice(SETTLING)}
        self._ended = -math.inf

    def run(self, batch: Batch) -> Probabilities:
        """float32 [1, K] of uint8 [1, H, W, 3]."""
        started = time.perf_counter()
        choice = self._choices[started - self._ended > AWAKE]
        way = choice.next()
        probabilities = self._ways[way](batch)
        self.ended()
        choice.took(way, self._ended - started)
        return probabilities

    def ended(self) -> None:
        """The model has run, be it for this picture or for one of many."""
        self._ended = time.perf_counter()
