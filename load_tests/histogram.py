"""Durations counted in buckets that are as fine as they are long, so that any percentile comes from every sample.

As in HdrHistogram (hdrhistogram.org): microseconds up to 2,048 have a bucket each, and every doubling beyond has
1,024, so a value is known to 0.1 % or half a microsecond. Adding is a dictionary's increment; histograms of several
processes and seconds add up without loss.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

_BITS = 10
_FINE = 1 << _BITS


def bucket(microseconds: int) -> int:
    """The number of the bucket that a value lies in; grows with the value."""
    shift = max(0, microseconds.bit_length() - _BITS - 1)
    return (shift << _BITS) + (microseconds >> shift)


def middle(number: int) -> float:
    """The middle of a bucket, microseconds."""
    if number < 2 * _FINE:
        return float(number)
    shift = (number >> _BITS) - 1
    low = (number - (shift << _BITS)) << shift
    return low + ((1 << shift) - 1) / 2


class Histogram:
    """Seconds in, seconds out."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.count = 0
        self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; below zero is zero."""
        seconds = max(0.0, seconds)
        self.counts[bucket(round(seconds * 1e6))] += 1
        self.count += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    def merge(self, other: Histogram) -> None:
        """Count all that `other` counted."""
        self.counts.update(other.counts)
        self.count += other.count
        self.total += other.total
        self.longest = max(self.longest, other.longest)

    @property
    def mean(self) -> float | None:
        """Seconds; None of nothing."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """The duration that `share` (0..1) of all do not exceed (nearest rank), to 0.1 %; None of nothing."""
        if not self.count:
            return None
        rank, seen = max(1, math.ceil(share * self.count - 1e-9)), 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            if seen >= rank:
                return min(middle(number) / 1e6, self.longest)
        return self.longest

    def quantiles(self, shares: Iterable[float]) -> list[float | None]:
        """Several at once."""
        return [self.quantile(share) for share in shares]

    def packed(self) -> list[Any]:
        """For a message between processes: buckets, counts, total, longest."""
        return [list(self.counts), list(self.counts.values()), self.total, self.longest]

    @classmethod
    def unpacked(cls, parts: list[Any]) -> Histogram:
        """The counterpart of `packed`."""
        found = cls()
        found.counts = Counter(dict(zip(parts[0], parts[1], strict=True)))
        found.count, found.total, found.longest = sum(parts[1]), parts[2], parts[3]
        return found
