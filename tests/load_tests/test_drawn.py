"""The charts show what was measured, where it belongs."""

from __future__ import annotations

import re

import pytest

from load_tests.charts import Chart
from load_tests.drawn import (
    distribution,
    grouped,
    latency_over_load,
    server_stages,
    steps_of,
    throughput_over_load,
    throughput_over_time,
)
from load_tests.figures import Measured
from load_tests.knee import Knee
from load_tests.objective import Objective
from load_tests.phase import OK, REFUSED, Phase
from load_tests.stages import read
from tests.load_tests.recordings import answer, measured

STAGES = """convoy_stage_seconds_bucket{le="+Inf",model="m",stage="infer"} 10
convoy_stage_seconds_count{model="m",stage="infer"} 10
convoy_stage_seconds_sum{model="m",stage="infer"} 0.1
"""


def step(load: float, right: float = 1.0, *, name: str = "", seconds: float = 0.01) -> Measured:
    """Four seconds of a load of which a share was answered rightly and the rest refused."""
    run = measured(Phase(name or f"step {load:g}", "open", load, 4, width=0.25))
    for number in range(int(4 * load)):
        answer(run, number / load, seconds, OK if number % 100 < 100 * right else REFUSED)
    return run


def heights(chart: Chart, css: str) -> list[float]:
    """The values of a line's dots."""
    (line,) = (line for line in chart.lines if line.css == css)
    low, high, start, end = chart.y.low, chart.y.high, chart.y.start, chart.y.end
    pixels = [float(y) for y in re.findall(r"[ML][\d.]+,([\d.]+)", line.path)]
    return [low + (start - pixel) / (start - end) * (high - low) for pixel in pixels]


def test_what_was_due_and_refused_is_on_the_scale() -> None:
    chart = throughput_over_load([step(50), step(400, 0.25), step(800, 0.2)], Knee(50, 400))
    assert heights(chart, "s0") == pytest.approx([50, 100, 160], abs=4)
    assert heights(chart, "s3") == pytest.approx([0, 300, 640], abs=4)
    assert heights(chart, "ideal") == pytest.approx([50, 400, 800], abs=4)


def test_of_several_tries_of_a_step_the_last_is_shown() -> None:
    first, second = step(20, 0.5, seconds=0.5), step(20, name="step 20, try 2")
    steps = steps_of([step(10), first, second])
    assert [one.phase.name for one in steps] == ["step 10", "step 20, try 2"]
    (line, *_) = latency_over_load([step(10), first, second], Objective(), Knee(20, None)).lines
    assert line.path.count("L") == 1


def test_the_rest_of_a_phase_is_no_stall() -> None:
    """The last answers come after the last request; a second in which hardly any came would look like one."""
    run = step(40, seconds=0.1)
    assert max(run.recording.finished) == 16
    points = [point for point in grouped([run]) if point]
    assert len(points) == 16
    assert all(point[3] > 20 for point in points)
    assert [line.css for line in throughput_over_time([run]).lines] == ["faint", "s0"]


@pytest.mark.parametrize("count", [1, 3])
def test_bars_stand_over_their_labels(count: int) -> None:
    phases = [measured(Phase(f"step {load}", "open", load, 4), read(STAGES)) for load in range(1, count + 1)]
    chart = server_stages(phases)
    assert chart is not None
    assert len(chart.bars) == count
    for bar, (_, pixel) in zip(chart.bars, chart.x.ticks, strict=True):
        assert bar.x + bar.width / 2 == pytest.approx(pixel, abs=0.11)


def test_the_percentiles_end_with_the_longest() -> None:
    run = measured(Phase("load", "open", 10, 6))
    for number in range(60):
        answer(run, number / 10, 0.5 if number == 30 else 0.01)
    chart = distribution(run)
    (line,) = (line for line in chart.lines if line.css == "s0")
    last = float(line.path.rpartition(",")[2])
    assert last == pytest.approx(chart.y.at(500), abs=0.2)
