"""Numbers of phases that were made up, so that each is known beforehand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.figures import Measured, figures, judged, normal_again
from load_tests.objective import parse
from load_tests.phase import OK, REFUSED, Mode, Phase, Recording
from load_tests.stages import read
from tests.load_tests.recordings import answer, measured

METRICS = """# HELP convoy_stage_seconds x
convoy_stage_seconds_bucket{le="0.01",model="m",stage="infer"} %(fast)s
convoy_stage_seconds_bucket{le="0.02",model="m",stage="infer"} %(all)s
convoy_stage_seconds_bucket{le="+Inf",model="m",stage="infer"} %(all)s
convoy_stage_seconds_count{model="m",stage="infer"} %(all)s
convoy_stage_seconds_sum{model="m",stage="infer"} %(sum)s
convoy_shed_total{reason="time"} %(shed)s
convoy_requests_total{route="/x y",status="200"} nonsense
process_resident_memory_bytes 3.5e+08
"""


def before(*clusters: tuple[float, float], warmup: float = 0.0, seconds: float = 0.3, mode: Mode = "open") -> Measured:
    """Eight seconds without an overload before them, each answer after 0.1 s, in clusters after so many `seconds`."""
    run = measured(Phase("y", mode, 80, 8, warmup=warmup, width=0.25))
    for number in range(8 * 80):
        due = number / 80 + 0.01
        answer(run, due, seconds if any(start <= due < end for start, end in clusters) else 0.1)
    return run


def test_warm_up_and_what_comes_after_are_not_counted() -> None:
    run = measured(Phase("x", "open", 10, 4, warmup=1, after=2, after_load=1))
    for number in range(60):
        warm, after = number < 10, number >= 40
        answer(run, number / 10 + 0.05, 0.9 if warm or after else 0.01, OK if number % 10 else REFUSED)
    found = figures(judged(run, parse("p99=20ms,errors=10%")))
    assert (found["due"], found["ok"], found["errors"]) == (30, 27, {REFUSED: 3})
    assert found["error_share"] == pytest.approx(0.1)
    assert found["latency_ms"]["max"] == pytest.approx(10)
    assert found["met"]
    assert found["offered_per_second"] == pytest.approx(10)
    # 9 of those due in the warm-up came in the first counted second.
    assert found["good_per_second"] == pytest.approx((27 + 9) / 3, abs=0.4)
    assert run.sent == 60
    assert found["generator"]["cpu_ms_per_request"] == pytest.approx(10)
    assert found["kinds"]["a"]["due"] == 30


@pytest.mark.parametrize(
    ("seconds", "warmup", "width"), [(2, 0.6, 0.25), (21, 1.5, 1), (0.3, 0.1, 0.25), (1, 0.8, 0.25), (5, 0, 0.25)]
)
def test_rates_do_not_depend_on_where_the_points_lie(seconds: float, warmup: float, width: float) -> None:
    run = measured(Phase("x", "open", 40, seconds, warmup=warmup, width=width))
    for number in range(round(seconds * 40)):
        answer(run, number / 40 + 0.0125, 0.001)
    found = figures(judged(run, parse("p95=20ms")))
    assert found["due"] == pytest.approx((seconds - warmup) * 40)
    assert found["offered_per_second"] == pytest.approx(40)
    assert found["good_per_second"] == pytest.approx(40)
    assert found["met"]
    assert all(rate in (0, pytest.approx(40, rel=0.35)) for _, _, rate in run.points())


@given(
    st.integers(0, 5000), st.integers(1, 5000), st.integers(0, 5000), st.sampled_from([0.25, 1.0, 1.7]), st.randoms()
)
def test_a_point_belongs_to_one_part_of_the_phase(
    warmup: int, counted: int, after: int, width: float, order: random.Random
) -> None:
    seconds = (warmup + counted) / 1000
    phase = Phase("x", "open", 1, seconds, warmup=warmup / 1000, width=width, after=after / 1000)
    for _ in range(20):
        second = order.uniform(0, phase.length + 5)
        point = phase.point(second)
        begin, end = phase.start(point), phase.start(point + 1)
        assert begin - 1e-9 <= second < end + 1e-9
        assert 0 < end - begin <= width + 1e-9
        assert not [edge for edge in (phase.warmup, seconds, phase.length) if begin + 1e-9 < edge < end - 1e-9]


def test_a_step_without_a_request_meets_nothing() -> None:
    run = judged(measured(Phase("x", "open", 1, 1)), parse("p95=1s,errors=50%"))
    assert run.misses == ["no request was due: a longer load is needed"]


@pytest.mark.parametrize(("slow_until", "expected"), [(0.0, 0.0), (1.0, 1.0), (2.5, 2.5), (4.0, None)])
def test_normal_again_is_when_the_last_slow_point_has_passed(slow_until: float, expected: float | None) -> None:
    run = measured(Phase("x", "open", 20, 2, width=0.25, after=4, after_load=10))
    for number in range(40):
        answer(run, number / 20 + 0.01, 3.0)
    for number in range(40):
        since = number / 10 + 0.01
        answer(run, 2 + since, 0.5 if since < slow_until else 0.01)
    assert normal_again(run, before()) == expected


@pytest.mark.parametrize(
    ("slow", "expected"),
    [
        ([(1.5, 1.75)], 0.0),
        ([(1.5, 2.0)], 2.0),
        ([(0.0, 0.25)], 0.25),
        ([(0.0, 0.5), (2.0, 2.25)], 0.5),
        ([(0.5, 0.75), (1.0, 1.25)], 0.0),
    ],
)
def test_one_slow_point_alone_is_normal(slow: list[tuple[float, float]], expected: float) -> None:
    run = measured(Phase("x", "open", 20, 2, width=0.25, after=4, after_load=20))
    for number in range(80):
        since = number / 20 + 0.01
        answer(run, 2 + since, 0.5 if any(start < since < end for start, end in slow) else 0.01)
    assert normal_again(run, before()) == expected


@pytest.mark.parametrize(
    ("same_requests_before", "expected"),
    [
        (before(), 3.0),
        (before((2.5, 2.75)), 0.0),  # and its neighbours, for a queue may come a little sooner or later
        (before((2.0, 2.25)), 3.0),  # a cluster at another time explains nothing
        (before((2.5, 2.75), seconds=0.12), 3.0),  # a cluster that took much less time does not either
        (before((2.5, 2.75), warmup=4), 0.0),  # the warm-up had these requests too
        (before((2.5, 2.85), warmup=0.125), 0.0),  # points lie between those of the overload then
        (before((2.5, 2.85), warmup=0.6), 0.0),
        (before((2.5, 2.75), mode="closed"), 3.0),  # clients that wait for their answer make no cluster
    ],
)
def test_a_queue_that_the_same_requests_made_before_is_normal(same_requests_before: Measured, expected: float) -> None:
    run = measured(Phase("x", "open", 40, 2, width=0.25, after=6, after_load=20))
    for number in range(120):
        since = number / 20 + 0.01
        answer(run, 2 + since, 0.4 if 2.5 <= since < 3 else 0.05)
    assert normal_again(run, same_requests_before) == expected


def test_a_little_slower_than_before_is_not_normal_where_no_queue_was() -> None:
    run = measured(Phase("x", "open", 40, 2, width=0.25, after=4, after_load=20))
    for number in range(80):
        answer(run, 2 + number / 20 + 0.01, 0.13)
    assert normal_again(run, before((2.5, 2.75), seconds=0.12)) is None


def test_without_an_answer_before_nobody_knows_what_is_normal() -> None:
    run = measured(Phase("x", "open", 20, 2, width=0.25, after=4, after_load=10))
    answer(run, 3.0, 0.01)
    nothing = measured(Phase("y", "open", 20, 2, width=0.25))
    assert normal_again(run, nothing) is None


@pytest.mark.parametrize(("slow_until", "expected"), [(0.0, 0.0), (2.2, 2.25), (9.0, None)])
def test_points_without_a_request_are_no_normal_ones(slow_until: float, expected: float | None) -> None:
    run = measured(Phase("x", "open", 20, 2, width=0.25, after=8, after_load=2))
    for number in range(16):
        since = number / 2 + 0.01
        answer(run, 2 + since, 0.5 if since < slow_until else 0.01)
    assert normal_again(run, before()) == expected


def test_an_error_is_not_normal_and_another_offset_changes_nothing() -> None:
    run = measured(Phase("x", "open", 20, 2, width=0.25, after=4, after_load=10))
    run.offset = 100
    for number in range(60):
        answer(run, number / 10 + 0.01, 0.01, REFUSED if number == 33 else OK)
    assert normal_again(run, before()) == 1.5


@pytest.mark.parametrize(("refused", "expected"), [({340}, 0.0), ({340, 341, 380}, 0.75), ({340, 380, 580}, 0.0)])
def test_a_refusal_now_and_then_is_normal(refused: set[int], expected: float) -> None:
    """200 requests a second come after the overload; numbers are those of requests that were refused."""
    run = measured(Phase("x", "open", 20, 1, width=0.25, after=4, after_load=200))
    for number in range(200, 1000):
        answer(run, number / 200 + 0.001, 0.01, REFUSED if number in refused else OK)
    assert normal_again(run, before()) == expected


def test_what_the_service_counted_meanwhile_is_the_difference() -> None:
    before = read(METRICS % {"fast": 10, "all": 20, "sum": 0.3, "shed": 1})
    after = read(METRICS % {"fast": 100, "all": 120, "sum": 1.3, "shed": 5})
    found = figures(measured(Phase("x", "open", 1, 1), after.since(before)))
    infer = found["stages_ms"]["infer"]
    assert (infer["mean"], infer["pictures"]) == (pytest.approx(10), 100)
    # 90 of 100 are below 10 ms, so the 95th lies in the middle of the next bucket.
    assert infer["p95"] == pytest.approx(15)
    assert found["shed_by_service"] == {"time": 4}
    assert after.memory == 3.5e8


def test_recordings_of_several_processes_add_up() -> None:
    first, second = measured(Phase("x", "open", 1, 2)), measured(Phase("x", "open", 1, 2))
    for run in (first, second):
        answer(run, 0.5, 0.2)
        answer(run, 1.5, 0.1, "status 500", "b")
        run.recording.example("status 500", "oops")
    first.recording.merge(Recording.unpacked(second.recording.packed()))
    assert first.cell(0, 2).outcomes == {OK: 2, "status 500": 2}
    assert first.cell(0, 2).good.count == 2
    assert first.recording.finished == {0: 2}
    assert first.recording.examples == {"status 500": ["oops"]}
    assert first.kinds() == ["a", "b"]


@pytest.mark.parametrize(
    ("second", "expected"), [(0.5, None), (1.1, None), (1.3, (1.25, 0)), (4, (4, 0)), (4.6, (4, 0.5)), (9, (4, 2))]
)
def test_a_phase_that_was_stopped_counts_whole_points(second: float, expected: tuple[float, float] | None) -> None:
    phase = Phase("x", "open", 10, 4, warmup=1, width=0.25, after=2)
    left = phase.until(second)
    assert (left and (left.seconds, left.after)) == expected
