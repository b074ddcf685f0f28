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

Little, for what two virtual cores gain changes by the second, most likely with where their host has put them:
MobileNetV3 between 1.1 and 1.7 times. Which way a picture goes is found out again and again; whether there are two
ways, only here.
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
    begun, rounds = time.perf_counter(), 0
    while rounds < 2 or (least[one] < MUST_GAIN * least[wide] and time.perf_counter() - begun < PATIENCE):
        rounds += 1
        for runtime in least:
            for _ in range(CALLS):
                started = time.perf_counter()
                runtime.run(pixels)
                least[runtime] = min(least[runtime], time.perf_counter() - started)
    return wide if least[one] >= MUST_GAIN * least[wide] else None


AWAKE = 0.008
"""Seconds after a call in which the cores that it had are still awake."""
SETTLING, SETTLING_PAUSED = 32, 3
"""Pictures after a change to all cores until these have settled; where a pause was before each, they never do."""
SETTLING_ONE = 1
"""After a change to one core."""
SETTLED = 0.2
"""Seconds of calls after which they have in any case."""
JUDGED = 16
"""The latest pictures by which a way is judged; half of them are enough to see that it is no better."""
BETTER = 0.97
"""Of the time of the way that was best: one that takes more of it is no better."""
FEW, CLEARLY = 3, 1.3
"""So many pictures that all take so many times as long need no more of them."""
OFTEN, SELDOM = 512, 8192
"""Pictures between two looks at the other way: at first, and once the same way was found to be best a few times."""


class Choice:
    """Which of two ways takes less time: 0 or 1.

    A way is kept for its number of `settling` pictures, which say nothing, and then for JUDGED at a time, whose median
    counts: a single slow call is somebody else's doing. What the other way takes is known from when it was last tried,
    and it is left as soon as its first pictures are clearly slower or its median cannot be the better one any more.
    """

    def __init__(self, settling: tuple[int, int]) -> None:
        self._settling = settling
        self._seconds: tuple[deque[float], deque[float]] = (deque(maxlen=JUDGED), deque(maxlen=JUDGED))
        self._best = 0
        self._look_after, self._since_look = OFTEN, 0
        self._take(0)

    def next(self) -> int:
        """The way of the next picture."""
        if self._judged >= JUDGED or self._hopeless():
            self._decide()
        return self._way

    def took(self, seconds: float) -> None:
        """What the picture needed that went this way."""
        self._since_look += 1
        if self._unjudged < self._settling[self._way] and self._unjudged_seconds < SETTLED:
            self._unjudged += 1
            self._unjudged_seconds += seconds
        else:
            self._seconds[self._way].append(seconds)
            self._judged += 1

    def _take(self, way: int) -> None:
        self._way, self._judged = way, 0
        self._unjudged, self._unjudged_seconds = 0, 0.0
        self._seconds[way].clear()

    def _hopeless(self) -> bool:
        """Whether the other way is tried and is no better, as far as it was."""
        tried = self._seconds[self._way]
        if self._way == self._best or len(tried) < FEW:
            return False
        usual = self._median(self._best)
        slow = sum(seconds >= BETTER * usual for seconds in tried)
        return min(tried) > CLEARLY * usual or slow >= JUDGED // 2

    def _decide(self) -> None:
        self._judged = 0
        if (way := self._wanted()) != self._way:
            self._take(way)

    def _wanted(self) -> int:
        best, other = self._best, 1 - self._best
        if not self._seconds[other]:
            return other
        if self._median(other) < BETTER * self._median(best):
            self._best, self._look_after, self._since_look = other, OFTEN, 0
        elif self._since_look >= self._look_after:
            self._look_after, self._since_look = min(SELDOM, 2 * self._look_after), 0
            return other
        return self._best

    def _median(self, way: int) -> float:
        return sorted(self._seconds[way])[len(self._seconds[way]) // 2]


class Lone:
    """Runs a picture that is alone on all cores or on one, whichever took less time when it was last tried.

    Right after another picture, all cores gain nearly their number, but a virtual machine whose second core was idle
    may need twenty calls or more until it has it for good. After a pause it may need 5 ms to get it back at all,
    longer than a small network takes on the first. So both ways are timed, with and without a pause before.
    """

    def __init__(self, wide: Run, one: Run) -> None:
        self._ways = (wide, one)
        self._choices = {True: Choice((SETTLING_PAUSED, SETTLING_ONE)), False: Choice((SETTLING, SETTLING_ONE))}
        self._ended = -math.inf

    def run(self, batch: Batch) -> Probabilities:
        """float32 [1, K] of uint8 [1, H, W, 3]."""
        started = time.perf_counter()
        choice = self._choices[started - self._ended > AWAKE]
        probabilities = self._ways[choice.next()](batch)
        self.ended()
        choice.took(self._ended - started)
        return probabilities

    def ended(self) -> None:
        """The model has run, be it for this picture or for one of many."""
        self._ended = time.perf_counter()
