"""Lines and bars in the pixels of an SVG; `templates/charts.html` writes the marks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 54.0, 14.0, 30.0, 42.0
"""Room for the ticks' numbers and the axes' names."""

Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Axis:
    """Values low..high on pixels start..end, evenly or by their logarithm. `ticks`: (text, pixel)."""

    low: float
    high: float
    start: float
    end: float
    name: str
    log: bool = False
    ticks: tuple[tuple[str, float], ...] = ()

    def at(self, value: float) -> float:
        """The pixel; what is outside lies on the edge."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(self.start + (value - low) / ((high - low) or 1.0) * (self.end - self.start), 1)


@dataclass(frozen=True)
class Line:
    """`path`: an SVG path. `dots`: (x, y, text) of its points, where they are shown."""

    path: str
    css: str
    note: str
    dots: tuple[tuple[float, float, str], ...] = ()


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    css: str
    note: str


@dataclass(frozen=True)
class Chart:
    """`label`: what it shows. `marks`, `levels`: vertical and horizontal lines: (text, pixel, css)."""

    title: str
    label: str
    x: Axis
    y: Axis
    key: tuple[tuple[str, str], ...] = ()
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    marks: tuple[tuple[str, float, str], ...] = ()
    levels: tuple[tuple[str, float, str], ...] = ()
    note: str = ""
    width: float = WIDTH
    height: float = HEIGHT


def across(name: str, low: float, high: float, ticks: Iterable[tuple[str, float]] | None = None) -> Axis:
    """The horizontal axis. ticks: (text, value); round numbers when nothing is said."""
    return _ticked(Axis(low, high, LEFT, WIDTH - RIGHT, name), ticks)


def up(name: str, low: float, high: float) -> Axis:
    """The vertical axis, even, to the next round number above."""
    steps = round_ticks(low, high)
    return _ticked(Axis(low, max(high, steps[-1]), HEIGHT - BOTTOM, TOP, name), None)


def up_log(name: str, values: Iterable[float | None]) -> Axis:
    """The vertical axis by logarithm, around the values above zero, at least a decade."""
    found = [value for value in values if value]
    low = min(found, default=1.0)
    high = max(max(found, default=10.0), low * 10)
    steps = [
        m * 10.0**e for e in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)
    ]
    bottom = max(step for step in steps if step <= low * 1.0001)
    top = min([step for step in steps if step >= high * 0.9999], default=high)
    inside = [step for step in steps if bottom <= step <= top]
    if len(inside) > 8:
        inside = [step for step in inside if f"{step:e}"[0] == "1"]
    return _ticked(Axis(bottom, top, HEIGHT - BOTTOM, TOP, name, log=True), [(number(step), step) for step in inside])


def round_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """About `count` round numbers that enclose low..high: steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(size * power for size in (1, 2, 5, 10) if size * power * count >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(index * step, 10) for index in range(first, max(last, first + 1) + 1))


def line(points: Points, x: Axis, y: Axis, css: str, note: str, *, dots: str = "") -> Line:
    """Through the points, broken where there is none. dots: a unit; each point then shows itself."""
    parts, pen = [], "M"
    for horizontal, vertical in points:
        if vertical is None:
            pen = "M"
            continue
        parts.append(f"{pen}{x.at(horizontal):g},{y.at(vertical):g}")
        pen = "L"
    shown = tuple(
        (x.at(horizontal), y.at(vertical), f"{note} at {number(horizontal)}: {number(vertical)} {dots}")
        for horizontal, vertical in points
        if dots and vertical is not None
    )
    return Line("".join(parts), css, note, shown)


def number(value: float) -> str:
    """Three digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ticked(axis: Axis, ticks: Iterable[tuple[str, float]] | None) -> Axis:
    if ticks is None:
        inside = [tick for tick in round_ticks(axis.low, axis.high) if axis.low <= tick <= axis.high * 1.0001]
        ticks = [(number(tick), tick) for tick in inside]
    texts = tuple((text, axis.at(value)) for text, value in ticks)
    return Axis(axis.low, axis.high, axis.start, axis.end, axis.name, axis.log, texts)
