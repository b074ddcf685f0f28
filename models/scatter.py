"""Accuracy against multiply-accumulates as a drawing: one SVG file, light and dark, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from models.amounts import amount
from models.errors import NothingToPlot
from models.report import render
from models.zoo import Row

WIDTH, HEIGHT = 1000, 640
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 70, 60
_LETTER, _LINE = 6.4, 14.0
"""Width of a letter and height of a line at the labels' size, in pixels."""

_SHAPES = ("circle", "square", "diamond")


@dataclass(frozen=True)
class Point:
    """One architecture; x and y in pixels. `label`: where its name stands, None when it is left out."""

    row: Row
    x: float
    y: float
    best: bool
    label: tuple[float, float, str] | None = None

    @property
    def note(self) -> str:
        """What a pointer over the point shows."""
        row = self.row
        return f"{row.title}, {row.year}: top-1 {row.top1:.1f} %, {row.gmacs:g} GMACs, {amount(row.parameters)}"


def render_scatter(rows: Sequence[Row]) -> str:
    """The SVG text of the rows that have published accuracy. Raises: NothingToPlot."""
    rows = sorted((row for row in rows if row.top1 is not None), key=lambda row: row.gmacs)
    if not rows:
        raise NothingToPlot()
    across, down = _Axis.logarithmic(rows), _Axis.linear(rows)
    points = _labelled([Point(row, across.at(row.gmacs), down.at(row.top1 or 0), _is_best(row, rows)) for row in rows])
    families = list(dict.fromkeys(row.family for row in sorted(rows, key=lambda row: row.year)))
    return render(
        "scatter.xml",
        width=WIDTH,
        height=HEIGHT,
        box=(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        x_ticks=[(f"{tick:g}", across.at(tick)) for tick in across.ticks],
        y_ticks=[(f"{tick:g}", down.at(tick)) for tick in down.ticks],
        families=[
            {
                "name": family,
                "hue": round(index * 360 / len(families)),
                "shape": _SHAPES[index % len(_SHAPES)],
                "points": [point for point in points if point.row.family == family],
            }
            for index, family in enumerate(families)
        ],
        labels=[(*point.label, point.row.title) for point in points if point.label],
        frontier=[(point.x, point.y) for point in points if point.best],
    )


@dataclass(frozen=True)
class _Axis:
    """Values to pixels. `low` and `high` are on the axis's own scale."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool

    @classmethod
    def logarithmic(cls, rows: Sequence[Row]) -> _Axis:
        low, high = math.log10(rows[0].gmacs) - 0.08, math.log10(rows[-1].gmacs) + 0.08
        marks = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 3)]
        ticks = tuple(mark for mark in marks if low <= math.log10(mark) <= high)
        return cls(low, high, LEFT, WIDTH - RIGHT, ticks, log=True)

    @classmethod
    def linear(cls, rows: Sequence[Row]) -> _Axis:
        values = [row.top1 or 0 for row in rows]
        low, high = math.floor(min(values) / 5) * 5.0, math.ceil((max(values) + 0.5) / 5) * 5.0
        ticks = tuple(float(tick) for tick in range(int(low), int(high) + 1, 5))
        return cls(low, high, HEIGHT - BOTTOM, TOP, ticks, log=False)

    def at(self, value: float) -> float:
        place = math.log10(value) if self.log else value
        span = (self.high - self.low) or 1.0
        return round(self.start + (place - self.low) / span * (self.end - self.start), 1)


def _is_best(row: Row, rows: Sequence[Row]) -> bool:
    """No other is at least as accurate for less work."""
    return not any(
        (other.top1 or 0) >= (row.top1 or 0)
        and other.gmacs <= row.gmacs
        and (other.gmacs, other.top1) != (row.gmacs, row.top1)
        for other in rows
    )


def _labelled(points: list[Point]) -> list[Point]:
    """Names beside the points, the best first, where there is room; the others show theirs under the pointer."""
    taken = [(point.x - 5, point.y - 5, point.x + 5, point.y + 5) for point in points]
    placed: dict[str, tuple[float, float, str]] = {}
    for point in sorted(points, key=lambda point: (not point.best, point.row.year)):
        width = len(point.row.title) * _LETTER
        for side, dx, dy in (("end", -9, -4), ("start", 9, 12), ("start", 9, -4), ("end", -9, 12)):
            left = point.x + dx - (width if side == "end" else 0)
            box = (left, point.y + dy - _LINE + 4, left + width, point.y + dy + 4)
            inside = box[0] > LEFT and box[2] < WIDTH - RIGHT and box[1] > TOP and box[3] < HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed[point.row.name] = (round(point.x + dx, 1), round(point.y + dy, 1), side)
                break
    return [Point(point.row, point.x, point.y, point.best, placed.get(point.row.name)) for point in points]


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
