"""Numbers of a phase, for summary.json, the table and the report. Milliseconds and shares of 0..1."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from load_tests.histogram import Histogram
from load_tests.objective import Objective
from load_tests.phase import NOT_SENT, OK, Cell, Phase, Recording
from load_tests.stages import STAGES, Scrape

PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")
TOLERATED = 0.01
"""Share of errors in a second that a service has which is not overloaded."""
SLOWER = 1.5
"""Times as long as before an overload, a queue of the same requests is not the same any more."""


@dataclass
class Measured:
    """A phase and all that is known of it.

    offset: seconds since the first phase began. cpu: of the processes that send; leader: of the one that leads
    them. counted: what the service counted meanwhile. misses: which part of the objective was missed.
    """

    phase: Phase
    recording: Recording
    offset: float
    wall: float
    cpu: float
    leader: float
    counted: Scrape | None
    memory: list[tuple[float, float]] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)

    def window(self) -> tuple[float, float]:
        """Seconds of the phase that count."""
        return self.phase.warmup, self.phase.seconds

    def cell(self, start: float, end: float, kind: str | None = None) -> Cell:
        """All that was due in between."""
        whole = Cell()
        for (point, name), cell in self.recording.cells.items():
            if start - 1e-9 <= self.phase.start(point) < end - 1e-9 and kind in (None, name):
                whole.merge(cell)
        return whole

    def counted_cell(self) -> Cell:
        return self.cell(*self.window())

    def good_rate(self, start: float, end: float) -> float:
        """Right answers per second that came in between."""
        finished, begins = self.recording.finished, self.phase.start
        came = sum(n for point, n in finished.items() if start - 1e-9 <= begins(point) < end - 1e-9)
        return came / (end - start)

    def points(self) -> list[tuple[float, Cell, float]]:
        """(second since the first phase, what was due, right answers per second that came), in order."""
        cells: dict[int, Cell] = {}
        for (point, _), cell in self.recording.cells.items():
            cells.setdefault(point, Cell()).merge(cell)
        last = max([*cells, *self.recording.finished], default=-1)
        finished, begins = self.recording.finished, self.phase.start
        return [
            (
                self.offset + begins(point),
                cells.get(point, Cell()),
                finished[point] / (begins(point + 1) - begins(point)),
            )
            for point in range(last + 1)
        ]

    def kinds(self) -> list[str]:
        return sorted({kind for _, kind in self.recording.cells if kind})

    @property
    def sent(self) -> int:
        """Of the whole phase, warm-up included."""
        return sum(cell.due - cell.outcomes[NOT_SENT] for cell in self.recording.cells.values())


def judged(measured: Measured, objective: Objective) -> Measured:
    """With what it missed."""
    measured.misses = objective.misses(measured.counted_cell())
    return measured


def milliseconds(histogram: Histogram) -> dict[str, float | None]:
    """Mean, percentiles and the longest."""
    shares = [float(name[1:]) / 100 for name in PERCENTILES]
    named = dict(zip(PERCENTILES, histogram.quantiles(shares), strict=True))
    longest = histogram.longest if histogram.count else None
    return {name: _ms(value) for name, value in {"mean": histogram.mean, **named, "max": longest}.items()}


def figures(measured: Measured) -> dict[str, Any]:
    """Everything of one phase."""
    phase, (start, end) = measured.phase, measured.window()
    cell = measured.counted_cell()
    return {
        "name": phase.name,
        "mode": phase.mode,
        "load": phase.load,
        "seconds": end - start,
        "due": cell.due,
        "ok": cell.outcomes[OK],
        "errors": errors(cell.outcomes),
        "error_share": cell.error_share,
        "offered_per_second": cell.due / (end - start),
        "good_per_second": measured.good_rate(start, end),
        "latency_ms": milliseconds(cell.good),
        "from_sending_ms": milliseconds(cell.service),
        "refused_ms": {"count": cell.refused.count, **milliseconds(cell.refused)},
        "sent_late_ms": milliseconds(cell.lag),
        "kinds": {kind: _kind(measured.cell(start, end, kind)) for kind in measured.kinds()},
        "stages_ms": stage_figures(measured.counted),
        "shed_by_service": measured.counted.shed if measured.counted else None,
        "generator": generator([measured]),
        "met": not measured.misses,
        "misses": measured.misses,
    }


def errors(outcomes: dict[str, int]) -> dict[str, int]:
    """By kind, most frequent first."""
    return {kind: n for kind, n in sorted(outcomes.items(), key=lambda item: -item[1]) if kind != OK and n}


def error_kinds(phases: Iterable[Measured]) -> list[dict[str, Any]]:
    """Of each kind of error how many there were, warm-ups included, and what a few said; most frequent first."""
    whole = Recording()
    for measured in phases:
        whole.merge(measured.recording)
    counted = Cell()
    for cell in whole.cells.values():
        counted.outcomes.update(cell.outcomes)
    return [
        {"kind": kind, "count": count, "examples": whole.examples.get(kind, [])}
        for kind, count in errors(counted.outcomes).items()
    ]


def _kind(cell: Cell) -> dict[str, Any]:
    latency = milliseconds(cell.good)
    return {"due": cell.due, "ok": cell.outcomes[OK], **{name: latency[name] for name in ("p50", "p95", "p99")}}


def stage_figures(counted: Scrape | None) -> dict[str, dict[str, float | None]] | None:
    """By stage, of all pictures that the service answered meanwhile; None where it does not tell."""
    if counted is None:
        return None
    found = {}
    for name in (*STAGES, "total"):
        stage = counted.stages.get(name)
        if stage and stage.count > 0:
            mean = 1000 * stage.seconds / stage.count
            found[name] = {"mean": mean, "p95": _ms(stage.quantile(0.95)), "pictures": stage.count}
    return found


def generator(phases: Iterable[Measured]) -> dict[str, Any]:
    """What the load itself cost on this machine, or on those of the workers."""
    phases = list(phases)
    sent = sum(measured.sent for measured in phases)
    cpu, leader = sum(measured.cpu for measured in phases), sum(measured.leader for measured in phases)
    wall, cores = sum(measured.wall for measured in phases), os.cpu_count() or 1
    return {
        "requests": sent,
        "cpu_seconds": cpu + leader,
        "cpu_ms_per_request": 1000 * (cpu + leader) / sent if sent else None,
        "cores": cores,
        "share_of_cores": (cpu + leader) / (wall * cores) if wall else None,
    }


def normal_again(above: Measured, below: Measured) -> float | None:
    """Seconds from the overload's end until the last point of time that was not normal.

    `below` is the same load without an overload before it; in the open loop it is the very requests at the very
    intervals, of which a cluster makes a queue both times. Not normal: a median above the usual p95, and SLOWER than
    the queue about that time in `below` where there was one, for two points in a row, for one alone is slow now and
    then under any load; or more than TOLERATED errors in the second that begins with an error. Points at which
    nothing was due do not count, and what came before the first was the overload. Zero when all were normal; None
    when the last ones were not, or `below` had no answer.
    """
    usual = below.counted_cell().good.quantile(0.95)
    if usual is None:
        return None
    phase, queues = above.phase, _queues(below, usual)
    points = [point for point in above.points() if point[0] - above.offset - phase.seconds >= -1e-9]
    points = [point for point in points if point[1].due]
    sinces = [second - above.offset - phase.seconds for second, _, _ in points]
    slow = [
        _slow(cell, max(usual, SLOWER * queues.get(round(since / phase.width), 0.0)))
        for since, (_, cell, _) in zip(sinces, points, strict=True)
    ]
    slow = [True, *slow, False]
    last = 0.0
    for index, (since, (second, cell, _)) in enumerate(zip(sinces, points, strict=True)):
        lasting = slow[index + 1] and (slow[index] or slow[index + 2])
        following = [point for point in points[index:] if point[0] < second + 1 - 1e-9]
        if lasting or (cell.error_share > 0 and _too_many_errors(following)):
            last = since + phase.width
    return None if last > phase.after - 2 * phase.width else last


def _queues(below: Measured, usual: float) -> dict[int, float]:
    """By the number of a point: its median or a neighbour's in seconds, for a queue may come a point sooner or later.

    Only where that was above `usual`, and nowhere in the closed loop, whose clients come when they have an answer.
    """
    if below.phase.mode == "closed":
        return {}
    points = below.points()
    medians = [cell.good.quantile(0.5) or 0.0 for _, cell, _ in points]
    longest = {
        int((second - below.offset) / below.phase.width + 1e-6): max(medians[max(0, number - 1) : number + 2])
        for number, (second, _, _) in enumerate(points)
    }
    return {number: seconds for number, seconds in longest.items() if seconds > usual}


def _slow(cell: Cell, limit: float) -> bool:
    median = cell.good.quantile(0.5)
    return median is None or median > limit


def _too_many_errors(second: Sequence[tuple[float, Cell, float]]) -> bool:
    """More than TOLERATED in these points together."""
    whole = Cell()
    for _, cell, _ in second:
        whole.merge(cell)
    return whole.error_share > TOLERATED + 1e-9


def _ms(value: float | None) -> float | None:
    return None if value is None else 1000 * value
