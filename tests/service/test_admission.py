from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.admission import Admission, Pacer
from service.pace import Pace


def test_refusals_go_out_at_once_until_they_come_too_fast() -> None:
    pacer = Pacer(least=10, burst=5, longest=1.0)
    delays = [pacer.delay(100.0, 0.0) for _ in range(30)]
    assert delays[:5] == [0.0] * 5
    assert delays[5:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert max(delays) == 1.0


def test_after_a_quiet_while_they_go_out_at_once_again() -> None:
    pacer = Pacer(least=10, burst=5, longest=1.0)
    for _ in range(30):
        pacer.delay(100.0, 0.0)
    assert pacer.delay(101.9, 0.0) == 0.0


def test_a_steady_trickle_is_never_held_back() -> None:
    pacer = Pacer(least=10, burst=5)
    assert all(pacer.delay(100 + number / 10, 0.0) == 0.0 for number in range(100))


@given(st.floats(10, 2000))
def test_as_many_refusals_as_answers_are_never_held_back(answers: float) -> None:
    pacer = Pacer()
    assert all(pacer.delay(100 + number / answers, answers) == 0.0 for number in range(300))


def test_the_rate_is_that_of_the_pictures_that_are_there() -> None:
    admission = Admission(100, 2, 1000)
    fast, slow, batches = Pace(0), Pace(0), Pace(1)
    admission.paces = [fast, slow, batches]
    assert admission.rate() == 0.0
    for pace, seconds in ((fast, 0.01), (slow, 0.08)):
        pace.expect({"preprocess": 0.0, "infer": seconds}, 1.0)
    admission.take(slow, 4, 0)
    assert admission.rate() == pytest.approx(25)
    admission.take(fast, 16, 0)
    assert admission.rate() == pytest.approx(20 / 0.24)
    admission.give_back(slow, 4, 0)
    admission.give_back(fast, 16, 0)
    batches.expect({"preprocess": 0.001, "infer": 0.02}, 1.0)
    admission.take(batches, 10, 0)
    assert admission.rate() == pytest.approx(50)
