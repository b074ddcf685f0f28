from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.deliveries import LONGEST, MOST, Deliveries


def model(pool_seconds: float = 0.002, cap: int = 1, threads: int = 2) -> Any:
    pace = SimpleNamespace(pool_seconds=pool_seconds, threads=threads)
    return SimpleNamespace(plan=SimpleNamespace(cap=cap), pace=pace)


def counted(ended: int, announced: int, served: Any) -> tuple[list[int], int]:
    """What was settled, and by how many wakes of the loop, once `ended` of `announced` jobs had ended."""
    settled: list[int] = []
    wakes = 0

    def wake(callback: Any, *arguments: Any) -> None:
        nonlocal wakes
        wakes += 1
        callback(*arguments)

    # Time stands still: no alarm rings.
    loop = SimpleNamespace(call_soon_threadsafe=wake, call_later=lambda *_: SimpleNamespace(cancel=lambda: None))
    left = announced
    deliveries = Deliveries(lambda _, job: settled.append(job.number), 2, lambda: left - 2)  # type: ignore[attr-defined]
    jobs: list[Any] = [SimpleNamespace(number=number, loop=loop) for number in range(announced)]
    for job in jobs:
        deliveries.announce(job)
    for job in jobs[:ended]:
        left -= 1
        deliveries.end(served, job)
    return settled, wakes


def test_nothing_waits_while_nothing_is_queued() -> None:
    assert counted(1, 1, model()) == ([0], 1)
    assert counted(1, 3, model()) == ([0], 1)


def test_answers_go_together_while_others_are_queued() -> None:
    settled, wakes = counted(20, 40, model())
    assert wakes <= 3
    assert settled == list(range(len(settled)))
    assert len(settled) >= 20 - MOST


def test_every_answer_of_a_slow_model_goes_at_once() -> None:
    assert counted(20, 40, model(pool_seconds=LONGEST * 2)) == (list(range(20)), 20)


def test_as_many_go_together_as_the_threads_of_the_model_get_done() -> None:
    """In LONGEST; each wake takes what has ended since the last one."""
    assert counted(6, 40, model(LONGEST / 3, threads=1)) == (list(range(6)), 2)
    assert counted(6, 40, model(LONGEST / 3, threads=2)) == (list(range(6)), 1)


def test_answers_of_batches_go_at_once() -> None:
    assert counted(20, 40, model(cap=8)) == (list(range(20)), 20)


@given(st.integers(1, 60), st.sampled_from([0.0, 0.0005, 0.005, 0.05]), st.sampled_from([1, 4]))
def test_once_all_have_ended_all_are_settled_once_and_in_order(count: int, seconds: float, cap: int) -> None:
    assert counted(count, count, model(seconds, cap))[0] == list(range(count))


def test_no_answer_waits_for_jobs_that_do_not_end() -> None:
    async def scenario() -> None:
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        deliveries = Deliveries(lambda *_: arrived.set(), 2, lambda: 17)
        jobs: list[Any] = [SimpleNamespace(loop=loop) for _ in range(20)]
        for job in jobs:
            deliveries.announce(job)
        deliveries.end(model(), jobs[0])
        assert not arrived.is_set()
        await asyncio.wait_for(arrived.wait(), 5)
        # Again: the next one waits for its own alarm.
        arrived.clear()
        deliveries.end(model(), jobs[1])
        await asyncio.wait_for(arrived.wait(), 5)

    asyncio.run(scenario())


def test_a_job_of_another_loop_is_settled_there() -> None:
    async def scenario() -> None:
        settled = asyncio.Event()
        deliveries = Deliveries(lambda *_: settled.set(), 2, lambda: 8)
        old: Any = SimpleNamespace(loop=asyncio.get_running_loop())
        new: Any = SimpleNamespace(loop=SimpleNamespace(call_later=lambda *_: None))
        deliveries.announce(old)
        for _ in range(9):
            deliveries.announce(new)
        deliveries.end(model(), old)
        await asyncio.wait_for(settled.wait(), 5)

    asyncio.run(scenario())
