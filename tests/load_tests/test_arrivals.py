"""When requests are due."""

from __future__ import annotations

import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.arrivals import schedule, schedule_of
from load_tests.phase import Phase

RATES = st.floats(0.5, 200)


@given(RATES, st.floats(0.1, 20), st.integers(1, 4))
def test_constant_arrivals_are_evenly_apart_over_all_parts(rate: float, seconds: float, parts: int) -> None:
    due = sorted(at for part in range(parts) for at in schedule("constant", rate, seconds, part=part, parts=parts))
    assert due == pytest.approx([number / rate for number in range(len(due))])
    assert len(due) in (int(rate * seconds), int(rate * seconds) + 1)


@given(RATES, st.integers(0, 2**32), st.integers(1, 4))
def test_poisson_arrivals_ascend_within_the_time_and_come_again(rate: float, seed: int, parts: int) -> None:
    for part in range(parts):
        due = list(schedule("poisson", rate, 5, seed=seed, part=part, parts=parts))
        assert due == sorted(due)
        assert all(0 < at < 5 for at in due)
        assert due == list(schedule("poisson", rate, 5, seed=seed, part=part, parts=parts))


def test_poisson_arrivals_of_several_parts_have_the_rate_and_the_spread_of_one() -> None:
    due = sorted(at for part in range(3) for at in schedule("poisson", 100, 200, seed=1, part=part, parts=3))
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert len(due) == pytest.approx(20_000, rel=0.03)
    # Of an exponential distribution the deviation is the mean.
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)


def test_parts_do_not_send_at_the_same_moments() -> None:
    first, second = (set(schedule("poisson", 50, 10, seed=3, part=part, parts=2)) for part in (0, 1))
    assert not first & second


def test_what_comes_after_follows_without_a_pause() -> None:
    phase = Phase("x", "open", 100, 2, arrivals="constant", after=3, after_load=10)
    due = list(schedule_of(phase, 0, 1))
    assert due == sorted(due)
    assert len([at for at in due if at < 2]) == 200
    assert [at for at in due if at >= 2] == pytest.approx([2 + number / 10 for number in range(30)])
    assert list(schedule("poisson", 0, 5)) == []


@pytest.mark.parametrize("part", [0, 1])
def test_a_phase_with_the_seed_of_what_came_after_repeats_it(part: int) -> None:
    phase = Phase("x", "open", 100, 2, seed=7, after=3, after_load=50)
    again = Phase("y", "open", 50, 3, seed=phase.after_seed)
    after = [due - 2 for due in schedule_of(phase, part, 2) if due >= 2]
    assert after == pytest.approx(list(schedule_of(again, part, 2)))
