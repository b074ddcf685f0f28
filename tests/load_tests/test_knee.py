"""The knee of services that are known."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.arrivals import schedule
from load_tests.histogram import Histogram
from load_tests.knee import CLOSE, GROWTH, MOST_STEPS, Knee, find_knee


@given(st.floats(1, 5000), st.floats(0.5, 50))
def test_the_knee_lies_between_what_was_good_and_what_was_bad(capacity: float, first: float) -> None:
    tried: list[float] = []

    def meets(load: float) -> bool:
        tried.append(load)
        return load <= capacity

    knee = find_knee(meets, [first], refine=30, grow=True)
    assert len(tried) == len(set(tried))
    if knee.good is None:
        assert min(tried) > capacity
    else:
        assert knee.good <= capacity
        assert knee.good == max(load for load in tried if load <= capacity)
        assert knee.bad is None or capacity < knee.bad <= knee.good * CLOSE * 1.0001


def simulated(load: float, servers: int = 2, work: float = 0.02) -> bool:
    """p95 of at most 60 ms, where each request takes 20 ms of one of two cores and waits for it in line."""
    free, latencies = [0.0] * servers, Histogram()
    for due in schedule("poisson", load, 60, seed=5):
        done = max(due, heapq.heappop(free)) + work
        heapq.heappush(free, done)
        latencies.add(done - due)
    p95 = latencies.quantile(0.95)
    return p95 is not None and p95 <= 0.06


def test_a_simulated_services_knee_is_found_below_its_capacity_of_100() -> None:
    knee = find_knee(simulated, [5], refine=8, grow=True)
    assert knee.good is not None
    assert knee.bad is not None
    assert 60 < knee.good < knee.bad < 100
    assert simulated(knee.good)
    assert not simulated(knee.bad)


def test_given_steps_are_kept_to() -> None:
    tried: list[float] = []

    def meets(load: float) -> bool:
        tried.append(load)
        return load < 35

    assert find_knee(meets, [10, 20, 40, 80], refine=0) == Knee(20, 40)
    assert tried == [10, 20, 40]
    assert find_knee(lambda _: True, [10, 20]) == Knee(20, None)


def test_users_are_whole_and_none_is_tried_twice() -> None:
    tried: list[float] = []

    def meets(load: float) -> bool:
        tried.append(load)
        return load <= 5

    assert find_knee(meets, [1], refine=9, whole=True, grow=True) == Knee(5, 6)
    assert tried == [1, 2, 4, 8, 6, 5]


def test_a_service_that_never_gives_in_ends_the_climb() -> None:
    assert find_knee(lambda _: True, [1], grow=True) == Knee(GROWTH ** (MOST_STEPS - 1), None)


@pytest.mark.parametrize(("whole", "refine"), [(True, 5), (False, 3)])
def test_a_service_that_meets_nothing_has_no_knee(whole: bool, refine: int) -> None:
    assert find_knee(lambda _: False, [8], refine=refine, whole=whole).good is None
