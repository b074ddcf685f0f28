"""The knee: the highest load whose step met the objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

GROWTH = 2.0
"""From step to step until the first one that misses the objective."""
CLOSE = 1.05
"""Bisection ends when the bad load is this close to the good one."""
MOST_STEPS = 16
"""A service that meets every step of these answers faster than a generator asks."""


@dataclass(frozen=True)
class Knee:
    """`good`: the highest load that met the objective, None where none did. `bad`: the lowest above it that did not."""

    good: float | None
    bad: float | None


def find_knee(
    meets: Callable[[float], bool], loads: Sequence[float], *, refine: int = 4, whole: bool = False, grow: bool = False
) -> Knee:
    """Climb until a step misses, then bisect between it and the last good one, `refine` times at most.

    meets: runs a step of so much load. loads: ascending; with `grow` the climb goes on by GROWTH after the last.
    whole: loads are whole numbers (users).
    """
    good: float | None = None
    bad: float | None = None
    climb = list(loads)
    while climb:
        load = climb.pop(0)
        if not meets(load):
            bad = load
            break
        good = load
        if grow and not climb and len(loads) < MOST_STEPS:
            loads = [*loads, load * GROWTH]
            climb.append(load * GROWTH)
    for _ in range(refine):
        if bad is None or (good is not None and bad / good <= CLOSE):
            break
        load = _between(good, bad)
        if whole:
            load = round(load)
            if load in (good, bad, 0):
                break
        if meets(load):
            good = load
        else:
            bad = load
    return Knee(good, bad)


def _between(good: float | None, bad: float) -> float:
    """Where nothing was good yet the way goes down by GROWTH."""
    return (good + bad) / 2 if good is not None else bad / GROWTH
