"""A second session has to be worth it, and a lone picture goes the way that takes less time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import lone, runtime
from service.lone import (
    AWAKE,
    BETTER,
    CLEARLY,
    FEW,
    JUDGED,
    MUST_GAIN,
    OFTEN,
    SELDOM,
    SETTLED,
    SETTLING,
    SETTLING_ONE,
    SETTLING_PAUSED,
    Choice,
    Lone,
    spread,
)
from service.runtime import Probabilities
from tests.service.devices import Recorded

LONGEST_STAY = SETTLING + JUDGED
"""Pictures until all cores are left again."""
LOOK = SETTLING_ONE + FEW
"""Pictures on one core until that is seen to be clearly slower."""


class Clock:
    """Time that only a call of a runtime moves."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Timed(Recorded):
    """A call takes `seconds` of the clock."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds

    def run(self, batch: runtime.Batch) -> Probabilities:
        self._clock.now += self._seconds
        return super().run(batch)


class Disturbed(Timed):
    """Takes three times as long until it was called so often."""

    def __init__(self, clock: Clock, seconds: float, times: int) -> None:
        super().__init__(clock, seconds)
        self._times = times

    def run(self, batch: runtime.Batch) -> Probabilities:
        self._times -= 1
        self._clock.now += 2 * self._seconds * (self._times >= 0)
        return super().run(batch)


@given(st.floats(1e-4, 1.0), st.floats(0.2, 5.0))
def test_a_second_session_has_to_be_worth_it(seconds: float, times: float) -> None:
    clock = Clock()
    made = {1: Timed(clock, seconds * times), 2: Timed(clock, seconds)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lone, "time", clock)
        chosen = spread(made.__getitem__, (8, 8, 3), 2)
    if abs(times - MUST_GAIN) > 1e-3:
        assert chosen is (made[2] if times > MUST_GAIN else None)


def test_a_busy_moment_does_not_decide() -> None:
    clock = Clock()
    one, wide = Timed(clock, 0.01), Disturbed(clock, 0.006, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lone, "time", clock)
        assert spread({1: one, 2: wide}.__getitem__, (8, 8, 3), 2) is wide


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lone, "time", made)
    return made


class Sleepy(Timed):
    """Takes `extra` seconds more while it is `asleep`."""

    def __init__(self, clock: Clock, seconds: float, extra: float) -> None:
        super().__init__(clock, seconds)
        self._extra = extra
        self.asleep = False

    def run(self, batch: runtime.Batch) -> Probabilities:
        self._clock.now += self._extra * self.asleep
        return super().run(batch)


PICTURE = np.zeros((1, 8, 8, 3), np.uint8)


def shares(clock: Clock, extra: float, gap: float) -> tuple[int, int]:
    """How many of 10,000 lone pictures, one each `gap` seconds, went on all cores and on one, once it was learned."""
    wide, one = Sleepy(clock, 0.002, extra), Timed(clock, 0.004)
    chooser = Lone(wide.run, one.run)
    for number in range(10_000 + 2 * LONGEST_STAY):
        if number == 2 * LONGEST_STAY:
            wide.sizes.clear()
            one.sizes.clear()
        wide.asleep = gap > AWAKE
        chooser.run(PICTURE)
        clock.now += gap
    return len(wide.sizes), len(one.sizes)


@pytest.mark.parametrize(
    ("extra", "gap", "best"),
    [(0.005, 0.3, 1), (0.005, 0.004, 0), (0.0005, 0.3, 0)],
    ids=["a core that sleeps deep", "no time to sleep", "a core that wakes at once"],
)
def test_a_lone_picture_goes_the_way_that_takes_less_time(clock: Clock, extra: float, gap: float, best: int) -> None:
    """But for a look at the other one after 512 pictures, and after twice as many each time."""
    taken = shares(clock, extra, gap)
    assert sum(taken) == 10_000
    stay = LOOK if best == 0 else SETTLING_PAUSED + FEW
    assert taken[1 - best] == pytest.approx(4 * stay, abs=stay)


def test_the_longer_a_way_was_best_the_more_seldom_the_other_one_is_tried(clock: Clock) -> None:
    wide, one = Timed(clock, 0.002), Timed(clock, 0.004)
    chooser = Lone(wide.run, one.run)
    looks, before = [], 0
    for number in range(6 * SELDOM):
        chooser.run(PICTURE)
        clock.now += 0.004
        if len(one.sizes) > before and number - (looks[-1] if looks else 0) >= LOOK:
            looks.append(number)
        before = len(one.sizes)
    gaps = [later - earlier for earlier, later in pairwise(looks[1:])]
    assert gaps == sorted(gaps)
    assert gaps[0] == pytest.approx(2 * OFTEN, abs=2 * LONGEST_STAY)
    assert gaps[-1] == pytest.approx(SELDOM, abs=2 * LONGEST_STAY)


def test_what_changes_is_learned_again(clock: Clock) -> None:
    wide, one = Sleepy(clock, 0.002, 0.005), Timed(clock, 0.004)
    wide.asleep = True
    chooser = Lone(wide.run, one.run)
    for number in range(4_500):
        wide.asleep = number < 2_000
        chooser.run(PICTURE)
        clock.now += 0.3
    wide.sizes.clear()
    for _ in range(OFTEN):
        chooser.run(PICTURE)
        clock.now += 0.3
    assert len(wide.sizes) >= OFTEN - LONGEST_STAY


@pytest.mark.parametrize("before", [200, 3000], ids=["soon", "long after the last look"])
def test_a_way_that_becomes_slow_is_left_at_once(clock: Clock, before: int) -> None:
    """Somebody else takes a core: pictures do not wait for the next look at the other way."""
    wide, one = Sleepy(clock, 0.002, 0.01), Timed(clock, 0.004)
    chooser = Lone(wide.run, one.run)
    for number in range(before + 200):
        wide.asleep = number >= before
        if number == before:
            one.sizes.clear()
        chooser.run(PICTURE)
        clock.now += 0.004
    assert len(one.sizes) >= 200 - 2 * JUDGED


@pytest.mark.parametrize(("gain", "leaves"), [(1.02, False), (1.05, True)])
def test_a_way_that_is_hardly_better_is_no_reason_to_change(clock: Clock, gain: float, leaves: bool) -> None:
    wide, one = Timed(clock, 0.004), Timed(clock, 0.004 / gain)
    chooser = Lone(wide.run, one.run)
    for number in range(3000):
        if number == 1000:
            wide.sizes.clear()
            one.sizes.clear()
        chooser.run(PICTURE)
        clock.now += 0.004
    assert (len(one.sizes) > len(wide.sizes)) is leaves


def test_slow_networks_settle_in_fewer_pictures(clock: Clock) -> None:
    wide, one = Timed(clock, 0.06), Timed(clock, 0.1)
    chooser = Lone(wide.run, one.run)
    chooser.ended()
    while not one.sizes:
        chooser.run(PICTURE)
        clock.now += 0.004
    assert len(wide.sizes) == math.ceil(SETTLED / 0.06) + JUDGED < SETTLING


def test_a_slow_call_now_and_then_changes_nothing(clock: Clock) -> None:
    wide, one = Sleepy(clock, 0.002, 0.02), Timed(clock, 0.004)
    chooser = Lone(wide.run, one.run)
    for number in range(400):
        wide.asleep = number % 5 == 0
        chooser.run(PICTURE)
        clock.now += 0.004
    assert len(one.sizes) == LOOK  # the first ones


@pytest.mark.parametrize("calls", [2, 24])
def test_cores_that_need_some_calls_to_wake_are_given_them(clock: Clock, calls: int) -> None:
    """All cores are slow for `calls` after each call on one: tried for fewer they would never be found to be fast."""
    wide, one = Sleepy(clock, 0.002, 0.005), Timed(clock, 0.004)
    chooser = Lone(wide.run, one.run)
    asleep = calls
    for _ in range(4_000):
        wide.asleep, before = asleep > 0, len(wide.sizes)
        chooser.run(PICTURE)
        asleep = asleep - 1 if len(wide.sizes) > before else calls
        clock.now += 0.004
    assert len(one.sizes) <= 4 * LOOK


def test_pictures_of_a_crowd_keep_the_cores_awake(clock: Clock) -> None:
    wide, one = Sleepy(clock, 0.002, 0.005), Timed(clock, 0.004)
    chooser = Lone(wide.run, one.run)
    wide.asleep = True
    for _ in range(200):
        chooser.run(PICTURE)
        clock.now += 0.3
    wide.asleep = False
    wide.sizes.clear()
    for _ in range(200):
        chooser.ended()
        clock.now += AWAKE / 2
        chooser.run(PICTURE)
        clock.now += 0.3
    assert len(wide.sizes) == 200 - LOOK


@given(st.lists(st.sampled_from([0.5, BETTER - 0.01, BETTER, 1.0, CLEARLY]), min_size=JUDGED, max_size=JUDGED))
def test_a_look_that_ends_early_decides_as_a_whole_one_would(seconds: list[float]) -> None:
    choice = Choice((0, 0))
    for _ in range(JUDGED):
        assert choice.next() == 0
        choice.took(1.0)
    taken = 0
    for took in seconds:
        if choice.next() == 0:
            break
        choice.took(took)
        taken += 1
    better = sorted(seconds)[JUDGED // 2] < BETTER
    assert choice.next() == int(better)
    assert (taken == JUDGED) or not better


def test_a_look_at_what_is_clearly_slower_is_short() -> None:
    """Less than one picture in a hundred takes longer for it: nobody's p99 is of looks."""
    choice = Choice((0, SETTLING_ONE))
    ways = []
    for _ in range(2 * OFTEN):
        ways.append(choice.next())
        choice.took(1.0 if ways[-1] == 0 else 1.9)
    assert ways.count(1) == 2 * LOOK
    assert LOOK < 0.01 * OFTEN


@pytest.mark.parametrize("lucky", range(FEW))
def test_a_look_is_not_short_where_one_picture_was_not_clearly_slower(lucky: int) -> None:
    choice = Choice((0, 0))
    looked = 0
    for _ in range(2 * JUDGED):
        way = choice.next()
        choice.took(1.0 if way == 0 or looked == lucky else 1.9)
        looked += way
    assert looked == JUDGED // 2


def test_a_look_does_not_remember_the_one_before() -> None:
    """The machine has changed since: eight slow pictures of long ago would outvote those of now."""
    choice = Choice((0, 0))
    for number in range(2 * OFTEN):
        way = choice.next()
        choice.took(1.0 if way == 0 else 2.0 if number < OFTEN else 0.5)
    assert choice.next() == 1
