"""The objective that a service is held to: `p95=100ms,errors=0.1%`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from load_tests.errors import ObjectiveInvalid

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")


class Measured(Protocol):
    """What an objective is held against; seconds, and shares of 0..1."""

    def latency(self, name: str) -> float | None:
        """Of right answers, from the intended start: `mean`, `max` or a percentile such as `p99.9`."""

    @property
    def due(self) -> int:
        """How many requests."""

    @property
    def error_share(self) -> float:
        """Of all that was due."""


@dataclass(frozen=True)
class Limit:
    """One part of an objective: `name` is a latency, at most `most` seconds."""

    name: str
    most: float

    def __str__(self) -> str:
        return f"{self.name} ≤ {1000 * self.most:g} ms"


@dataclass(frozen=True)
class Objective:
    """Latencies that must hold, and the share of errors that is allowed (none unless it is said)."""

    limits: tuple[Limit, ...] = ()
    errors: float = 0.0

    def __str__(self) -> str:
        return ", ".join([*map(str, self.limits), f"errors ≤ {100 * self.errors:g} %"])

    def misses(self, measured: Measured) -> list[str]:
        """What was not kept, in words; empty when all was."""
        if not measured.due:
            return ["no request was due: a longer load is needed"]
        found = []
        for limit in self.limits:
            value = measured.latency(limit.name)
            if value is None:
                found.append(f"{limit.name}: no right answer")
            elif value > limit.most:
                found.append(f"{limit.name} {1000 * value:.1f} ms > {1000 * limit.most:g} ms")
        if measured.error_share > self.errors:
            found.append(f"errors {100 * measured.error_share:.3g} % > {100 * self.errors:g} %")
        return found


def share_of(name: str) -> float:
    """0.95 of `p95`."""
    return float(name[1:]) / 100


def parse(text: str) -> Objective:
    """Raises: ObjectiveInvalid."""
    if not text.strip():
        raise ObjectiveInvalid(text, "is empty")
    limits: dict[str, Limit] = {}
    errors: float | None = None
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ObjectiveInvalid(text, f"{part.strip()!r} has no value")
        if name in limits or (name == "errors" and errors is not None):
            raise ObjectiveInvalid(text, f"{name} is there twice")
        if name == "errors":
            errors = _share(text, value)
        elif name in ("mean", "max") or (_PERCENTILE.fullmatch(name) and share_of(name)):
            limits[name] = Limit(name, _seconds(text, name, value))
        else:
            raise ObjectiveInvalid(text, f"{name!r} is none of p50 … p99.9, mean, max, errors")
    return Objective(tuple(limits.values()), errors or 0.0)


def _seconds(text: str, name: str, value: str) -> float:
    match = _DURATION.fullmatch(value)
    if not match or not float(match[1]):
        raise ObjectiveInvalid(text, f"{name} is {value!r}, not a time with its unit (us, ms, s)")
    return float(match[1]) * _UNITS[match[2]]


def _share(text: str, value: str) -> float:
    match = _SHARE.fullmatch(value)
    if not match or (share := float(match[1]) / (100 if match[2] else 1)) > 1:
        raise ObjectiveInvalid(text, f"errors is {value!r}, not a share such as 0.1% or 0.001")
    if share == 1 and not match[2]:
        raise ObjectiveInvalid(text, f"errors={value} would be every request: write 1% or 100%")
    return share
