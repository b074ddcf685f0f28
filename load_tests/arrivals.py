"""When the requests of an open loop are due: decided before the run, whatever the service does."""

from __future__ import annotations

import random
from collections.abc import Iterator

from load_tests.phase import Arrivals, Phase


def schedule(
    kind: Arrivals, rate: float, seconds: float, *, seed: int = 0, part: int = 0, parts: int = 1
) -> Iterator[float]:
    """Seconds after the start, ascending, below `seconds`; `rate` per second over all `parts` together.

    One of several processes sends its `part`: of a constant schedule every `parts`-th arrival, of a Poisson one an
    independent stream of the share of the rate (such streams add up to a Poisson stream of the whole rate).
    """
    if rate <= 0:
        return
    if kind == "constant":
        number = part
        while (due := number / rate) < seconds:
            yield due
            number += parts
        return
    # A number alone: seeding by a tuple is deprecated, and by its hash would differ between processes.
    generator = random.Random(seed * 1009 + part)
    due = generator.expovariate(rate / parts)
    while due < seconds:
        yield due
        due += generator.expovariate(rate / parts)


def schedule_of(phase: Phase, part: int, parts: int) -> Iterator[float]:
    """Of an open loop's phase, with what comes after it."""
    shared = {"part": part, "parts": parts}
    yield from schedule(phase.arrivals, phase.load, phase.seconds, seed=phase.seed, **shared)
    for due in schedule(phase.arrivals, phase.after_load, phase.after, seed=phase.after_seed, **shared):
        yield phase.seconds + due
