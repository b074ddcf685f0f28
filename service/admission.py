"""Who is let in: by the time that the work ahead will take, by the number of pictures, and by their bytes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Overloaded
from service.pace import Pace

RETRY_SECONDS = 1.0
AT_ONCE = 150.0
"""Refusals a second for each core: they take less than a tenth of it."""
FLOOD_SECONDS = 0.25
"""Of the most that may go out at once, as many may come in one moment: arrivals come in clusters."""
QUIET = 2.0
LONGEST = 1.0
PER_ANSWER = 0.25
"""Refusals that leave for each answer while the others are held: to refuse somebody who asks again at once and hands
over the picture each time takes one or two hundredths of an answer of a slow network."""
LEAST, BURST = 10.0, 25
"""Refusals a second that leave in any case while the others are held, and how many of them at once."""


class Admission:
    """Counts what is uploading, waiting and running. Of the event loop alone.

    places: pictures at most, uploading or worked on. max_bytes: of all bodies together.
    """

    def __init__(self, places: int, max_bytes: int) -> None:
        self.places, self.max_bytes = places, max_bytes
        self.pictures = 0
        self.bytes = 0
        self.paces: list[Pace] = []

    def wait(self, pace: Pace) -> float:
        """Seconds until a picture that comes now would be begun, as far as the past tells."""
        pool = sum(other.pending * other.pool_seconds / other.threads for other in self.paces)
        return max(pool, pace.lane_seconds)

    def check(self, pace: Pace, count: int, size: int, seconds: float, max_wait: float) -> None:
        """Raises: Overloaded, when `count` pictures of `size` bytes have no place or no time.

        `seconds` until the deadline; `max_wait` is what waiting alone may take. Whoever comes to an idle service
        is let in, unless no picture was ever answered that fast.
        """
        if self.pictures and self.pictures + count > self.places:
            detail = f"{self.pictures} pictures are being worked on already"
            raise Overloaded("places", detail, self._until_idle(), seconds)
        if self.bytes and self.bytes + size > self.max_bytes:
            detail = f"{self.bytes} bytes of pictures are being worked on already"
            raise Overloaded("bytes", detail, self._until_idle(), seconds)
        wait = self.wait(pace)
        excess = max(wait - max_wait, wait + pace.own_seconds - seconds)
        if excess > 0 and (self.pictures or wait + pace.own_seconds > seconds):
            raise Overloaded("time", f"an answer would take about {wait + pace.own_seconds:.2g} s", excess, seconds)

    @contextmanager
    def held(self, pace: Pace, count: int, size: int) -> Iterator[None]:
        """Hold places within the block."""
        self.take(pace, count, size)
        try:
            yield
        finally:
            self.give_back(pace, count, size)

    def take(self, pace: Pace, count: int, size: int) -> None:
        """Hold places until `give_back`."""
        pace.pending += count
        self.pictures += count
        self.bytes += size

    def give_back(self, pace: Pace, count: int, size: int) -> None:
        """The counterpart of `take`."""
        pace.pending -= count
        self.pictures -= count
        self.bytes -= size

    def rate(self) -> float:
        """Pictures a second that are worked off, of those that are there, as far as the past tells; 0 of none."""
        count = sum(pace.pending for pace in self.paces)
        seconds = max((self.wait(pace) for pace in self.paces), default=0.0)
        return count / seconds if seconds else 0.0

    def _until_idle(self) -> float:
        return max(RETRY_SECONDS, max((self.wait(pace) for pace in self.paces), default=0.0) / 2)


class Pacer:
    """Holds refusals back while clients that ask again at once cause them.

    Refusing takes half a millisecond of a core. As long as refusals are few they go out at once: up to AT_ONCE a
    second for each core, or 1.5 times as many as answers, and at twice the load that can be answered there are as many
    refusals as answers. Beyond, it is most likely clients that come straight back, 1,500 times a second, and refusing
    takes the cores that the accepted ones need. Then, until nobody was refused for QUIET seconds, fewer refusals leave
    than answers, and each is held back for its turn, for LONGEST seconds at most, which costs nothing.
    """

    def __init__(self, cores: float = 1.0) -> None:
        self._at_once = AT_ONCE * cores
        self._flood, self._turns = _Bucket(), _Bucket()
        self._last = -math.inf
        self.holding = False

    def delay(self, now: float, answers: float) -> float:
        """Seconds to hold back a refusal that is due at `now`, where so many answers leave a second."""
        if now - self._last > QUIET:
            self.holding = False
        self._last = now
        if not self.holding:
            most = max(self._at_once, 1.5 * answers)
            self.holding = self._flood.add(now, 1 / most, FLOOD_SECONDS) > 0
        if not self.holding:
            return 0.0
        spacing = 1 / max(LEAST, PER_ANSWER * answers)
        return self._turns.add(now, spacing, BURST * spacing)

    async def pause(self, at_most: float, answers: float) -> None:
        """Hold back the calling refusal, and never beyond its own deadline."""
        if (seconds := min(self.delay(time.monotonic(), answers), at_most)) > 0:
            await asyncio.sleep(seconds)


class _Bucket:
    """Things of equal size that drip out at a rate, where some may come at once."""

    def __init__(self) -> None:
        self._empty = -math.inf

    def add(self, now: float, spacing: float, burst: float) -> float:
        """One more; the seconds until it has its turn, LONGEST at most."""
        self._empty = min(max(self._empty, now - burst) + spacing, now + LONGEST)
        return max(0.0, self._empty - now)
