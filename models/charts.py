"""Lines and bars in the pixels of an SVG; `templates/charts.html` writes the marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH, HEIGHT = 520.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 26.0, 40.0
"""Room for the ticks' numbers and the axes' names."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Values low..high on pixels start..end. `ticks`: (text, pixel)."""

    low: float
    high: float
    start: float
    end: float
    name: str
    ticks: tuple[tuple[str, float], ...] = ()

    def at(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return round(self.start + (value - self.low) / span * (self.end - self.start), 1)


@dataclass(frozen=True)
class Line:
    """`path`: an SVG path. `css`: its class. `note`: what a pointer over it shows."""

    path: str
    css: str
    note: str


@dataclass(frozen=True)
class Bar:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float
    css: str
    note: str


@dataclass(frozen=True)
class Chart:
    """`label`: what it shows, for those who cannot see it. `marks`: vertical lines, (text, pixel)."""

    label: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    marks: tuple[tuple[str, float], ...] = ()
    width: float = WIDTH
    height: float = HEIGHT


def across(name: str, low: float, high: float, ticks: Sequence[float]) -> Axis:
    """The horizontal axis."""
    return _with_ticks(Axis(low, high, LEFT, WIDTH - RIGHT, name), ticks)


def up(name: str, low: float, high: float, ticks: Sequence[float]) -> Axis:
    """The vertical axis."""
    return _with_ticks(Axis(low, high, HEIGHT - BOTTOM, TOP, name), ticks)


def unit(direction: Literal["across", "up"], name: str) -> Axis:
    """0 to 1, in percent."""
    axis = {"across": across, "up": up}[direction](name, 0, 1, ())
    ticks = tuple((f"{percent} %", axis.at(percent / 100)) for percent in (0, 25, 50, 75, 100))
    return Axis(axis.low, axis.high, axis.start, axis.end, name, ticks)


def round_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """About `count` round numbers that enclose low..high: steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(size * power for size in (1, 2, 5, 10) if size * power * count >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(index * step, 10) for index in range(first, max(last, first + 1) + 1))


def polyline(points: Points, x: Axis, y: Axis) -> str:
    """The path through the points; a single point becomes a short dash that can be seen."""
    if len(points) == 1:
        return f"M{x.at(points[0][0]) - 4:g},{y.at(points[0][1])}h8"
    return "M" + "L".join(f"{x.at(across):g},{y.at(up):g}" for across, up in points)


def staircase(points: Points, x: Axis, y: Axis) -> str:
    """(recall, precision) as the steps whose area is the average precision."""
    steps = [f"V{y.at(precision):g}H{x.at(recall):g}" for recall, precision in points]
    return f"M{x.at(0):g},{y.at(points[0][1]):g}" + "".join(steps)


def _with_ticks(axis: Axis, ticks: Sequence[float]) -> Axis:
    texts = tuple((f"{tick:g}", axis.at(tick)) for tick in ticks)
    return Axis(axis.low, axis.high, axis.start, axis.end, axis.name, texts)
