"""Accuracy against latency, the size of the file as the circle's area: one SVG, no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from export.benchmark import Benchmark, Measurement
from models.charts import round_ticks

WIDTH, HEIGHT = 760.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 110.0, 24.0, 50.0
LARGEST = 26.0
"""Radius of the largest file's circle, in pixels."""
_LINE = 13.0


@dataclass(frozen=True)
class Circle:
    """One artefact, in pixels. `note`: what a pointer over it shows; `text_y`: the height of its name."""

    x: float
    y: float
    radius: float
    name: str
    note: str
    css: str
    text_y: float


@dataclass(frozen=True)
class Plot:
    """`x_ticks` and `y_ticks`: (text, pixel)."""

    circles: tuple[Circle, ...]
    x_ticks: tuple[tuple[str, float], ...]
    y_ticks: tuple[tuple[str, float], ...]
    threads: int
    width: float = WIDTH
    height: float = HEIGHT
    box: tuple[float, float, float, float] = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)


def plot_of(found: Benchmark) -> Plot | None:
    """At the fewest threads; None when no accuracy is known."""
    threads = min(one.threads for one in found.measurements)
    rows = [(one, one.top1) for one in found.measurements if one.threads == threads and one.top1 is not None]
    if not rows:
        return None
    times = [math.log10(one.p50_ms) for one, _ in rows]
    low, high = min(times) - 0.15, max(times) + 0.15
    ticks = round_ticks(min(top1 for _, top1 in rows) - 0.005, max(top1 for _, top1 in rows) + 0.005, 4)

    def across(value: float) -> float:
        return round(LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - RIGHT - LEFT), 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (HEIGHT - BOTTOM - TOP), 1)

    marks = [digit * 10.0**power for power in range(-3, 5) for digit in (1, 2, 5)]
    return Plot(
        circles=_circles(rows, across, up),
        x_ticks=tuple((f"{mark:g}", across(mark)) for mark in marks if low <= math.log10(mark) <= high),
        y_ticks=tuple((f"{100 * tick:g} %", up(tick)) for tick in ticks),
        threads=threads,
    )


def _circles(
    rows: Sequence[tuple[Measurement, float]], across: Callable[[float], float], up: Callable[[float], float]
) -> tuple[Circle, ...]:
    largest = max(one.bytes for one, _ in rows)
    bundles = list(dict.fromkeys(one.bundle for one, _ in rows))
    circles: list[Circle] = []
    taken: list[tuple[float, float]] = []
    for one, top1 in sorted(rows, key=lambda row: -row[0].bytes):
        x, y = across(one.p50_ms), up(top1)
        text_y = y + 4
        while any(abs(text_y - other_y) < _LINE and abs(x - other_x) < 110 for other_x, other_y in taken):
            text_y += _LINE
        taken.append((x, text_y))
        name = one.target if len(bundles) == 1 else f"{one.bundle}: {one.target}"
        note = f"{name}: {one.p50_ms:g} ms, top-1 {top1:.4f}, {one.bytes / 1e6:.1f} MB"
        radius = round(max(3.0, LARGEST * (one.bytes / largest) ** 0.5), 1)
        circles.append(Circle(x, y, radius, name, note, f"c{bundles.index(one.bundle) % 4}", round(text_y, 1)))
    return tuple(circles)
