"""How long a picture takes here, learned from every one that was answered."""

from __future__ import annotations

import math

_WEIGHT = 0.1
"""Of the newest picture: the last thirty or so decide."""


class Average:
    """An exponentially weighted mean of seconds, and the least of them."""

    def __init__(self) -> None:
        self.mean = 0.0
        self.least = 0.0

    def add(self, seconds: float) -> None:
        """One more observation."""
        if self.mean == 0.0:
            self.mean = self.least = seconds
            return
        self.learn(seconds)
        self.reach(seconds)

    def learn(self, seconds: float) -> None:
        """An observation that is no single one's: it counts for the mean only."""
        self.mean += _WEIGHT * (seconds - self.mean)

    def reach(self, seconds: float) -> None:
        """An observation that is possible and not usual: it counts for the least only."""
        self.least = min(self.least, seconds)


class Pace:
    """Seconds of one thread that a picture takes to prepare, and of one lane to infer.

    `lanes` is 0 where the preparing thread infers too; `threads` is how many prepare at the same time. Written by
    threads and read by the event loop: a lost update of a mean does no harm.
    """

    def __init__(self, lanes: int, threads: int = 1) -> None:
        self.lanes, self.threads = lanes, threads
        self.prepare = Average()
        self.infer = Average()
        self.pending = 0
        """Pictures uploading, waiting or being worked on: of the event loop alone."""

    def add(self, seconds: dict[str, float], alone: bool = False, together: int = 1) -> None:
        """Learn from an answered picture whose call of the runtime had so many.

        One that had all cores says nothing of how long those under load take, and one that shared its call nothing of
        the least that it could take.
        """
        self.prepare.add(seconds.get("decode", 0.0) + seconds.get("preprocess", 0.0))
        if alone:
            self.infer.reach(seconds.get("infer", math.inf))
        elif together > 1 and not self.lanes:
            self.infer.learn(seconds.get("infer", 0.0) / together)
        elif not self.lanes:
            self.infer.add(seconds.get("infer", 0.0))

    def expect(self, seconds: dict[str, float], crowd: float) -> None:
        """Before anything was answered: one picture took so long on a core that `crowd` threads will share."""
        self.add({stage: crowd * took for stage, took in seconds.items()})
        self.add_batch(1, seconds["infer"])
        self.prepare.reach(seconds["preprocess"])
        self.infer.reach(seconds["infer"])

    def add_batch(self, size: int, seconds: float) -> None:
        """Learn from a call of the runtime."""
        if self.lanes:
            self.infer.add(seconds / size)

    @property
    def pool_seconds(self) -> float:
        """Of a preparing thread, per picture."""
        return self.prepare.mean + (0.0 if self.lanes else self.infer.mean)

    @property
    def lane_seconds(self) -> float:
        """Until the lanes have worked off what is pending."""
        return self.pending * self.infer.mean / self.lanes if self.lanes else 0.0

    @property
    def own_seconds(self) -> float:
        """The least that a picture has ever taken by itself: a lucky guess refuses nobody."""
        return self.prepare.least + self.infer.least
