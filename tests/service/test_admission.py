from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.admission import AT_ONCE, FLOOD_SECONDS, LEAST, LONGEST, PER_ANSWER, Admission, Pacer
from service.pace import Pace


def arrivals(seed: int, per_second: float, seconds: float) -> list[float]:
    """A Poisson stream."""
    gaps = np.random.default_rng(seed).exponential(1 / per_second, int(per_second * seconds))
    return [100.0 + float(moment) for moment in np.cumsum(gaps)]


def test_few_refusals_go_out_at_once() -> None:
    pacer = Pacer(cores=2)
    assert all(pacer.delay(100 + number / 200, 0.0) == 0.0 for number in range(2000))


@given(st.integers(0, 100), st.floats(100, 1000))
def test_as_many_refusals_as_answers_go_out_at_once(seed: int, answers: float) -> None:
    pacer = Pacer(cores=1)
    assert all(pacer.delay(moment, answers) == 0.0 for moment in arrivals(seed, answers, 5))


def test_whoever_comes_straight_back_is_held() -> None:
    """Eight clients, each back a millisecond after its refusal."""
    pacer, answers = Pacer(cores=2), 48.0
    back = [100 + number / 8000 for number in range(8)]
    refused: list[float] = []
    while (now := heapq.heappop(back)) < 130:
        heapq.heappush(back, now + pacer.delay(now, answers) + 0.001)
        refused.append(now)
    settled = [moment for moment in refused if moment > 105]
    assert pacer.holding
    assert LEAST < len(settled) / 25 <= PER_ANSWER * answers + 1


def test_held_refusals_are_spread_and_none_is_held_for_long() -> None:
    pacer = Pacer(cores=1)
    delays = [pacer.delay(100.0, 0.0) for _ in range(100)]
    held = [delay for delay in delays if delay > 0]
    assert delays[: int(FLOOD_SECONDS * AT_ONCE)] == [0.0] * int(FLOOD_SECONDS * AT_ONCE)
    assert held[:3] == pytest.approx([1 / LEAST, 2 / LEAST, 3 / LEAST])
    assert max(held) == LONGEST


def test_a_quiet_while_ends_the_holding() -> None:
    pacer = Pacer(cores=1)
    for _ in range(100):
        pacer.delay(100.0, 0.0)
    assert pacer.delay(101.9, 0.0) == 0.0
    assert pacer.holding
    assert pacer.delay(104.0, 0.0) == 0.0
    assert not pacer.holding


def test_the_rate_is_that_of_the_pictures_that_are_there() -> None:
    admission = Admission(100, 1000)
    fast, slow, batches = Pace(0, 3), Pace(0, 2), Pace(1, 2)
    admission.paces = [fast, slow, batches]
    assert admission.rate() == 0.0
    for pace, seconds in ((fast, 0.01), (slow, 0.08)):
        pace.expect({"preprocess": 0.0, "infer": seconds}, 1.0)
    admission.take(slow, 4, 0)
    assert admission.rate() == pytest.approx(25)
    admission.take(fast, 24, 0)
    assert admission.rate() == pytest.approx(28 / 0.24)
    admission.give_back(slow, 4, 0)
    admission.give_back(fast, 24, 0)
    batches.expect({"preprocess": 0.001, "infer": 0.02}, 1.0)
    admission.take(batches, 10, 0)
    assert admission.rate() == pytest.approx(50)
