"""Whether a thread takes several pictures at once while others wait, measured as they are worked off.

Pictures that share a call share reading the network's weights, ask for the interpreter less often, and wake the event
loop together. But with the batch the layers' outputs grow, and at some size they fit in the caches no more. Where the
balance lies does not show in calls in a row: these find the weights where the last one left them, and no decoding
comes between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SEVERAL = 3
"""What it gains under load is in docs/performance.md. More keep the first picture of a call waiting for longer."""
MUST_GAIN = 1.06
"""One by one has to be this much faster to stay: a short measurement is noisy, and what the event loop gains when
answers come together is not in it."""
ROUNDS = 4
SLICE_SECONDS = 0.06
BUDGET_SECONDS = 1.0

Work = Callable[[int], None]
"""Decodes, preprocesses and runs so many pictures on the calling thread, in one call of the runtime."""


def best_together(work: Work, threads: int) -> int:
    """SEVERAL, or 1 where so many threads get clearly more pictures done one by one."""
    until = time.perf_counter() + BUDGET_SECONDS
    single = several = 0.0
    work(1)
    work(SEVERAL)
    for number in range(ROUNDS):
        # Forwards and backwards: a machine that becomes slower meanwhile favours nobody.
        for size in (1, SEVERAL) if number % 2 == 0 else (SEVERAL, 1):
            reached = rate(work, size, threads, SLICE_SECONDS)
            single, several = (single + reached, several) if size == 1 else (single, several + reached)
        if time.perf_counter() > until:
            break
    return 1 if single >= MUST_GAIN * several else SEVERAL


def rate(work: Work, size: int, threads: int, seconds: float) -> float:
    """Pictures per second on so many threads that take `size` at once, again until `seconds` are over.

    Each thread's by itself, from the start to its last call's end: how the calls of several meet the end of the time
    would be chance.
    """
    rates: list[float] = []
    started = time.perf_counter()

    def lane() -> None:
        pictures, now = 0, started
        while pictures == 0 or now - started < seconds:
            work(size)
            pictures += size
            now = time.perf_counter()
        rates.append(pictures / (now - started))

    lanes = [threading.Thread(target=lane) for _ in range(threads)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    return sum(rates)
