"""The charts of a report, from what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

from load_tests.charts import Axis, Bar, Chart, Line, across, line, number, round_ticks, up, up_log
from load_tests.figures import Measured, stage_figures
from load_tests.histogram import Histogram
from load_tests.knee import Knee
from load_tests.memory import Growth
from load_tests.objective import Objective
from load_tests.phase import OK, REFUSED, Cell
from load_tests.stages import STAGES

MOST_POINTS = 120
"""Of a line over time; more is drawn in as many groups."""
LATENCIES = (("p50", "s0"), ("p95", "s1"), ("p99", "s2"))
_KEY = tuple((css, name) for name, css in LATENCIES)

Point = tuple[float, float, Cell, float]
"""Second, seconds of width, what was due, right answers per second that came."""


def grouped(phases: Sequence[Measured]) -> list[Point | None]:
    """Points of all phases over time, at most about MOST_POINTS, with None between two phases."""
    total = sum(measured.phase.length / measured.phase.width for measured in phases)
    size = max(1, math.ceil(total / MOST_POINTS))
    found: list[Point | None] = []
    for measured in phases:
        # What comes after the last request was sent is its rest, and would look like a stall.
        over = measured.offset + measured.phase.length - 1e-9
        points = [point for point in measured.points() if point[0] < over]
        edges = [second for second, _, _ in points] + [measured.offset + measured.phase.start(len(points))]
        for start in range(0, len(points), size):
            group, whole, came = points[start : start + size], Cell(), 0.0
            for index, (second, cell, rate) in enumerate(group, start=start):
                whole.merge(cell)
                came += rate * (edges[index + 1] - second)
            begin, end = edges[start], edges[start + len(group)]
            found.append(((begin + end) / 2, end - begin, whole, came / (end - begin)))
        found.append(None)
    return found


def throughput_over_time(phases: Sequence[Measured]) -> Chart:
    """What was due, what was answered rightly, what failed."""
    points = grouped(phases)
    due = [(0.0, None) if point is None else (point[0], point[2].due / point[1]) for point in points]
    right = [(0.0, None) if point is None else (point[0], point[3]) for point in points]
    wrong = [
        (0.0, None) if point is None else (point[0], (point[2].due - point[2].outcomes[OK]) / point[1])
        for point in points
    ]
    x = across("seconds", 0, max((point[0] for point in points if point), default=1.0))
    y = up("requests per second", 0, max([value for _, value in [*due, *right] if value], default=1.0))
    lines = [line(due, x, y, "faint", "due"), line(right, x, y, "s0", "right answers")]
    key = [("faint", "due"), ("s0", "right answers, when they came")]
    if any(value for _, value in wrong):
        lines.append(line(wrong, x, y, "s3", "errors"))
        key.append(("s3", "errors, when they were due"))
    return Chart(
        "Throughput over time",
        "Requests due, answered rightly and failed per second, over time",
        x,
        y,
        tuple(key),
        tuple(lines),
        marks=_boundaries(phases, x),
    )


def latency_over_time(phases: Sequence[Measured], objective: Objective) -> Chart:
    """Percentiles of right answers by the time at which they were due."""
    points = grouped(phases)
    lines = {
        name: [(0.0, None) if point is None else (point[0], _ms(point[2].latency(name))) for point in points]
        for name, _ in LATENCIES
    }
    x = across("seconds", 0, max((point[0] for point in points if point), default=1.0))
    y = up_log(
        "ms, from the intended start", [value for each in lines.values() for _, value in each] + _levels(objective)
    )
    drawn = tuple(line(lines[name], x, y, css, name) for name, css in LATENCIES)
    return Chart(
        "Latency over time",
        "Latency percentiles over time",
        x,
        y,
        _KEY,
        drawn,
        marks=_boundaries(phases, x),
        levels=tuple((str(limit), y.at(1000 * limit.most), "limit") for limit in objective.limits),
    )


def _boundaries(phases: Sequence[Measured], x: Axis) -> tuple[tuple[str, float, str], ...]:
    return tuple(("", x.at(measured.offset), "edge") for measured in phases[1:])


def _levels(objective: Objective) -> list[float | None]:
    return [1000 * limit.most for limit in objective.limits]


def steps_of(phases: Sequence[Measured]) -> list[Measured]:
    """Those that climbed, by load; of several tries of a step the last one, which decided."""
    last = {one.phase.load: one for one in phases if one.phase.name.startswith("step")}
    return [last[load] for load in sorted(last)]


def latency_over_load(phases: Sequence[Measured], objective: Objective, knee: Knee) -> Chart:
    """Percentiles of each step, with the knee."""
    steps = steps_of(phases)
    values = {name: [(one.phase.load, _ms(one.counted_cell().latency(name))) for one in steps] for name, _ in LATENCIES}
    x = _load_axis(steps)
    y = up_log(
        "ms, from the intended start", [value for each in values.values() for _, value in each] + _levels(objective)
    )
    drawn = tuple(line(values[name], x, y, css, name, dots="ms") for name, css in LATENCIES)
    return Chart(
        "Latency over load",
        "Latency percentiles of each step by its load, with the knee",
        x,
        y,
        _KEY,
        drawn,
        marks=_knee(knee, x, steps),
        levels=tuple((str(limit), y.at(1000 * limit.most), "limit") for limit in objective.limits),
    )


def throughput_over_load(phases: Sequence[Measured], knee: Knee) -> Chart:
    """Right answers per second of each step, with the knee."""
    steps = steps_of(phases)
    right = [(one.phase.load, one.good_rate(*one.window())) for one in steps]
    refused = [
        (one.phase.load, one.counted_cell().outcomes[REFUSED] / (one.phase.seconds - one.phase.warmup)) for one in steps
    ]
    due = [(one.phase.load, one.counted_cell().due / (one.phase.seconds - one.phase.warmup)) for one in steps]
    is_open = steps[0].phase.mode == "open"
    x = _load_axis(steps)
    y = up("requests per second", 0, max(value for _, value in [*right, *refused, *(due if is_open else [])]) or 1.0)
    lines, key = [line(right, x, y, "s0", "right answers", dots="/s")], [("s0", "right answers")]
    if any(value for _, value in refused):
        lines.append(line(refused, x, y, "s3", "refused", dots="/s"))
        key.append(("s3", "refused (429)"))
    if is_open:
        lines.insert(0, line(due, x, y, "ideal", "due"))
        key.append(("faint", "due"))
    return Chart(
        "Throughput over load",
        "Right answers per second of each step by its load, with the knee",
        x,
        y,
        tuple(key),
        tuple(lines),
        marks=_knee(knee, x, steps),
    )


def _load_axis(steps: Sequence[Measured]) -> Axis:
    most = max(one.phase.load for one in steps)
    name = "load: requests per second, in the mean" if steps[0].phase.mode == "open" else "clients"
    return across(name, 0, most * 1.04, [(number(tick), tick) for tick in round_ticks(0, most) if tick <= most * 1.04])


def _knee(knee: Knee, x: Axis, steps: Sequence[Measured]) -> tuple[tuple[str, float, str], ...]:
    if knee.good is None:
        return ()
    unit = "/s" if steps[0].phase.mode == "open" else " clients"
    return ((f"knee: {number(knee.good)}{unit}", x.at(knee.good), "knee"),)


def distribution(measured: Measured) -> Chart:
    """Latency by percentile, from the intended start and from the sending."""
    cell = measured.counted_cell()
    shares = [share for share in (0, 0.5, 0.9, 0.99, 0.999, 0.9999) if share <= 1 - 1 / max(2, cell.good.count)]
    most = max(1.0, math.log10(2 * max(2, cell.good.count)))  # the longest of n stands for the last half of 1/n
    grid = [1 - 10 ** -(most * step / 80) for step in range(81)]
    x = across("percentile", 0, most, [(f"{100 * share:g}", -math.log10(1 - share)) for share in shares])
    curves = [_curve(cell.good, grid), _curve(cell.service, grid)]
    y = up_log("ms", [value for each in curves for _, value in each])
    return Chart(
        f"Latency by percentile: {measured.phase.name}",
        "Latency by percentile, from the intended start and from the sending",
        x,
        y,
        (("s0", "from the intended start"), ("s1", "from the sending")),
        (line(curves[1], x, y, "s1", "from the sending"), line(curves[0], x, y, "s0", "from the intended start")),
        note="Where the two part, requests waited in the generator: for its own core, or for a free connection.",
    )


def _curve(histogram: Histogram, grid: Sequence[float]) -> list[tuple[float, float | None]]:
    return [(-math.log10(1 - share), _ms(histogram.quantile(share))) for share in grid]


def server_stages(phases: Sequence[Measured]) -> Chart | None:
    """Mean time by stage in each phase, as the service counted it; None where it does not tell."""
    rows = [(measured, stage_figures(measured.counted)) for measured in phases]
    known = [(measured, stages) for measured, stages in rows if stages]
    if not known:
        return None
    heights = [sum(stages.get(name, {}).get("mean") or 0.0 for name in STAGES) for _, stages in known]
    ticks = [(number(measured.phase.load), index + 0.5) for index, (measured, _) in enumerate(known)]
    x = across("load of the phase", 0, len(known), ticks if len(ticks) <= 14 else ticks[:: math.ceil(len(ticks) / 14)])
    y = up("ms per picture, mean", 0, max(heights) or 1.0)
    bars = []
    for index, (measured, stages) in enumerate(known):
        base = 0.0
        for number_, name in enumerate(STAGES):
            value = stages.get(name, {}).get("mean") or 0.0
            if value:
                width = round(min(x.at(index + 0.82) - x.at(index + 0.18), 60.0), 1)
                top, low = y.at(base + value), y.at(base)
                note = f"{measured.phase.name}: {name} {value:.2f} ms"
                left = round(x.at(index + 0.5) - width / 2, 1)
                bars.append(Bar(left, top, width, round(low - top, 1), f"f{number_}", note))
                base += value
    used = [name for name in STAGES if any(name in stages for _, stages in known)]
    key = tuple((f"f{STAGES.index(name)}", name) for name in used)
    return Chart("Inside the service", "Mean time by stage of each phase", x, y, key, bars=tuple(bars))


def memory(measured: Measured, growth: Growth | None) -> Chart:
    """Resident memory over a soak."""
    points = [(second, value / 1e6) for second, value in measured.memory]
    x = across("seconds", 0, points[-1][0])
    y = up("MB", 0, 1.1 * max(value for _, value in points))
    levels = () if growth is None else ((f"after {growth.since:.0f} s", y.at(growth.settled / 1e6), "limit"),)
    drawn: tuple[Line, ...] = (line(points, x, y, "s0", "resident memory"),)
    return Chart(
        "Memory of the service", "Resident memory over time", x, y, (("s0", "resident"),), drawn, levels=levels
    )


def _ms(value: float | None) -> float | None:
    return None if value is None else 1000 * value
