"""The pool's threads: who takes what, with whom, and how many of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.pace import Pace
from service.pool import LARGEST_SHARED, Pool
from service.together import SEVERAL


class Listed:
    """As much of a model as a pool needs; a call of `work` waits for `go`."""

    def __init__(self, several: int = SEVERAL, threads: int = 1) -> None:
        self.together, self.pace = several, Pace(0, threads)
        self.taken: list[list[Any]] = []
        self.go = threading.Semaphore(0)
        self.came = threading.Semaphore(0)

    def work(self, jobs: list[Any]) -> None:
        self.taken.append(jobs)
        self.came.release()
        assert self.go.acquire(timeout=10)


class Waiting:
    """As much of a job as a pool needs."""

    def __init__(self, size: int = 1000, explain: object = None) -> None:
        self.size, self.explain = size, explain


def worked_off(jobs: list[tuple[Listed, Waiting]], threads: int = 1) -> None:
    """Let a pool take the first one, then find all the others waiting, and end when they are done."""
    pool = Pool(threads, lambda *_: None)  # type: ignore[arg-type]
    models = dict.fromkeys(model for model, _ in jobs)
    assert pool.submit(*jobs[0])  # type: ignore[arg-type]
    assert jobs[0][0].came.acquire(timeout=10)
    for model, job in jobs[1:]:
        assert pool.submit(model, job)  # type: ignore[arg-type]
    for model in models:
        model.go.release(len(jobs))
    until = time.monotonic() + 10
    while sum(len(taken) for model in models for taken in model.taken) < len(jobs):
        assert time.monotonic() < until
        time.sleep(0.001)
    pool.close()


@pytest.mark.parametrize(
    ("others", "sizes"),
    [
        ([Waiting(), Waiting(), Waiting(), Waiting(), Waiting()], [1, 3, 2]),
        ([Waiting(), Waiting(LARGEST_SHARED + 1), Waiting(), Waiting()], [1, 1, 1, 2]),
        ([Waiting(), Waiting(LARGEST_SHARED), Waiting(), Waiting()], [1, 3, 1]),
        ([Waiting(), Waiting(explain=1), Waiting(explain=2), Waiting(), Waiting()], [1, 1, 1, 1, 2]),
    ],
    ids=["three at most", "a large one alone", "not that large", "explained ones alone"],
)
def test_who_shares_a_call(others: list[Waiting], sizes: list[int]) -> None:
    model = Listed()
    worked_off([(model, job) for job in [Waiting(), *others]])
    assert [len(taken) for taken in model.taken] == sizes


def test_models_share_nothing() -> None:
    one, other = Listed(), Listed()
    worked_off([(one, Waiting()), (one, Waiting()), (other, Waiting()), (one, Waiting()), (one, Waiting())])
    assert [len(taken) for taken in one.taken] == [1, 1, 2]
    assert [len(taken) for taken in other.taken] == [1]


def test_as_many_are_left_for_every_other_thread() -> None:
    model = Listed(threads=3)
    pool = Pool(3, lambda *_: None)  # type: ignore[arg-type]
    for _ in range(3):
        pool.submit(model, Waiting())  # type: ignore[arg-type]
        assert model.came.acquire(timeout=10)
    for _ in range(5):
        pool.submit(model, Waiting())  # type: ignore[arg-type]
    model.go.release()
    assert model.came.acquire(timeout=10)
    assert [len(taken) for taken in model.taken] == [1, 1, 1, 2]
    model.go.release()
    assert model.came.acquire(timeout=10)
    assert len(model.taken[-1]) == 1
    model.go.release(8)
    pool.close()


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 3), st.integers(1, 5))
def test_every_job_is_taken_once_and_in_order(count: int, threads: int, spare: int, several: int) -> None:
    model = Listed(several, threads)
    jobs = [Waiting() for _ in range(count)]
    worked_off([(model, job) for job in jobs], threads + spare)
    taken = [job for call in model.taken for job in call]
    assert sorted(map(id, taken)) == sorted(map(id, jobs))
    assert max(len(call) for call in model.taken) <= several
    for call in model.taken:
        assert [jobs.index(job) for job in call] == list(range(jobs.index(call[0]), jobs.index(call[0]) + len(call)))


def test_closing_refuses_who_waits_and_lets_who_runs_end() -> None:
    refused: list[Waiting] = []
    pool = Pool(1, lambda _, job: refused.append(job))  # type: ignore[arg-type, func-returns-value]
    model, running, waiting = Listed(), Waiting(), Waiting()
    pool.submit(model, running)  # type: ignore[arg-type]
    assert model.came.acquire(timeout=10)
    pool.submit(model, waiting)  # type: ignore[arg-type]
    closing = threading.Thread(target=pool.close)
    closing.start()
    until = time.monotonic() + 10
    while not refused:
        assert time.monotonic() < until
        time.sleep(0.001)
    model.go.release()
    closing.join(10)
    assert not closing.is_alive()
    assert refused == [waiting]
    assert model.taken == [[running]]
    assert not pool.submit(model, Waiting())  # type: ignore[arg-type]


def test_a_thread_survives_what_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Listed):
        def work(self, jobs: list[Any]) -> None:
            super().work(jobs)
            raise ValueError("after the answer")

    model = Failing(1)
    worked_off([(model, Waiting()), (model, Waiting())])
    assert len(model.taken) == 2
    assert caplog.text.count("what follows an answer failed") == 2


@pytest.fixture
def three() -> Iterator[Pool]:
    pool = Pool(3, lambda *_: None)  # type: ignore[arg-type]
    yield pool
    pool.close()


def keep_two_busy(pool: Pool, slow: Listed, *others: Listed) -> None:
    """Submit two pictures of `slow`, which are begun, and one of each of the others, which wait."""
    for model in (slow, slow, *others):
        pool.submit(model, Waiting())  # type: ignore[arg-type]
    for _ in range(2):
        assert slow.came.acquire(timeout=10)
    for model in others:
        assert not model.came.acquire(timeout=0.05)


def test_no_more_threads_work_than_are_right_for_the_model(three: Pool) -> None:
    slow = Listed(several=1, threads=2)
    keep_two_busy(three, slow, slow, slow)
    slow.go.release()
    assert slow.came.acquire(timeout=10)
    assert len(slow.taken) == 3
    slow.go.release(3)


def test_another_model_gets_the_thread_that_one_has_no_use_for(three: Pool) -> None:
    slow, fast = Listed(several=1, threads=2), Listed(several=1, threads=3)
    keep_two_busy(three, slow, slow, fast)
    slow.go.release()
    # One of the two threads takes the third picture; the one that was left out is told of the fourth.
    assert slow.came.acquire(timeout=10)
    assert fast.came.acquire(timeout=5)  # before a thread of the slow one gives up and comes for it
    slow.go.release(2)
    fast.go.release()
