"""Pictures that wait share calls: which ones, how many, and only while every thread has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.errors import ImageError
from bundle.image import decode
from bundle.preprocess import preprocess
from service import together
from service.curve import Plan
from service.engine import Engine, Outcome
from service.errors import DeadlinePassed, Overloaded
from service.pace import Pace
from service.patience import Patience
from service.planning import abreast, in_company, on_cpu, planned
from service.settings import Settings
from service.together import SEVERAL, best_together, rate
from tests.pictures import COLOURS, encode, plain
from tests.service.conftest import new_engine
from tests.service.devices import Held, Poisoned, Recorded, loaded
from tests.tiny import SPEC, probabilities_of

PICTURES = [encode(plain(list(COLOURS)[n % 3], seed=n)) for n in range(12)]


class OnCores(Held):
    """Says that it computes on the CPU."""

    provider = "CPUExecutionProvider"


def served(bundle: Path, simulated: Recorded, **options: Any) -> Engine:
    engine = new_engine()
    with loaded(simulated):
        engine.start(Settings(models=bundle, max_wait=25, queue=512, lone_threads=1, **options)).join()
    engine.ready()
    return engine


async def ask(engine: Engine, source: Any) -> Outcome:
    model = engine.ready().find(None)
    (outcome,) = await engine.answer(model, [source], np.copy, Patience(None, engine.settings))
    return outcome


async def crowd(engine: Engine, held: Held, pictures: list[Any]) -> list[Outcome]:
    """The outcomes of pictures of which all others wait when the first one is let go."""
    held.hold()
    asked = [asyncio.create_task(ask(engine, pictures[0]))]
    await held.until_running()
    asked += [asyncio.create_task(ask(engine, data)) for data in pictures[1:]]
    async with asyncio.timeout(10):
        while engine.admission.pictures < len(pictures):
            await asyncio.sleep(0)
    held.release.set()
    return await asyncio.gather(*asked)


def test_a_thread_takes_three_at_once_of_those_that_wait(tiny_bundle: Path) -> None:
    held = OnCores()
    engine = served(tiny_bundle, held, batching="small", threads=1)
    outcomes = asyncio.run(crowd(engine, held, PICTURES[:9]))
    engine.stop()
    assert held.sizes == [1, 3, 3, 2]
    for data, outcome in zip(PICTURES, outcomes, strict=False):
        np.testing.assert_allclose(outcome.answer, probabilities_of(preprocess(decode(data), SPEC)), atol=1e-6, rtol=0)


def test_one_by_one_where_it_is_switched_off(tiny_bundle: Path) -> None:
    held = OnCores()
    engine = served(tiny_bundle, held, batching="off", threads=1)
    asyncio.run(crowd(engine, held, PICTURES[:6]))
    engine.stop()
    assert held.sizes == [1] * 6


def test_a_bad_picture_is_its_own_error_and_leaves_its_company(tiny_bundle: Path) -> None:
    held = OnCores()
    engine = served(tiny_bundle, held, batching="small", threads=1)
    first, good, bad, also_good, *_ = asyncio.run(
        crowd(engine, held, [PICTURES[0], PICTURES[1], b"hello", PICTURES[2], *PICTURES[3:6]])
    )
    engine.stop()
    assert isinstance(bad.error, ImageError)
    assert [first.error, good.error, also_good.error] == [None] * 3
    assert held.sizes[:2] == [1, 2]


@pytest.mark.parametrize("reason", ["cancelled", "expired", "late"])
def test_who_no_longer_waits_is_not_in_the_call(tiny_bundle: Path, reason: str) -> None:
    held = OnCores()
    engine = served(tiny_bundle, held, batching="small", threads=1)
    model = engine.ready().find(None)

    async def scenario() -> list[Any]:
        held.hold()
        first = asyncio.create_task(ask(engine, PICTURES[0]))
        await held.until_running()
        leaving = asyncio.create_task(ask(engine, PICTURES[1]))
        staying = [asyncio.create_task(ask(engine, data)) for data in PICTURES[2:6]]
        assert engine._pool is not None
        async with asyncio.timeout(10):
            while engine._pool.waiting < 5:
                await asyncio.sleep(0)
        job = engine._pool._waiting[0][1]
        if reason == "cancelled":
            leaving.cancel()
            await asyncio.wait([leaving])
        elif reason == "expired":
            job._deadline = 0.0
        else:
            job._left -= 100.0
        held.release.set()
        outcomes = await asyncio.gather(first, *staying)
        async with asyncio.timeout(10):
            while engine.admission.pictures:
                await asyncio.sleep(0)
        assert all(outcome.error is None for outcome in outcomes)
        return [] if reason == "cancelled" else [(await leaving).error]

    errors = asyncio.run(scenario())
    assert model.pace.pending == 0
    engine.stop()
    assert held.sizes == [1, 2, 2]
    kinds: dict[str, list[type[Exception]]] = {"cancelled": [], "expired": [DeadlinePassed], "late": [Overloaded]}
    assert [type(error) for error in errors] == kinds[reason]


def test_a_call_that_fails_is_run_one_by_one(tiny_bundle: Path) -> None:
    held = Poisoned()
    engine = served(tiny_bundle, held, batching="small", threads=1)
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    outcomes = asyncio.run(crowd(engine, held, [black, black, white, black]))
    engine.stop()
    assert [type(outcome.error) for outcome in outcomes] == [type(None), type(None), RuntimeError, type(None)]
    assert held.sizes == [1, 1, 1]


def test_the_pace_is_of_one_picture_however_many_shared_the_call() -> None:
    alone, shared = Pace(0), Pace(0)
    for pace in (alone, shared):
        pace.add({"decode": 0.01, "infer": 0.02})
    for _ in range(100):
        alone.add({"decode": 0.01, "infer": 0.02})
        shared.add({"decode": 0.01, "infer": 0.06}, together=3)
    assert shared.pool_seconds == pytest.approx(alone.pool_seconds)
    shared.add({"decode": 0.01, "infer": 0.03}, together=3)
    # The least is what one by itself took.
    assert shared.own_seconds == pytest.approx(0.03)


def test_a_picture_knows_how_many_shared_its_call(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, sizes = OnCores(), []
    engine = served(tiny_bundle, held, batching="small", threads=1)
    add = Pace.add

    def spy(pace: Pace, seconds: Any, alone: bool = False, together: int = 1) -> None:
        sizes.append(together)
        add(pace, seconds, alone, together)

    monkeypatch.setattr(Pace, "add", spy)
    asyncio.run(crowd(engine, held, PICTURES[:6]))
    engine.stop()
    assert sizes == [1, 3, 3, 3, 2, 2]


def test_a_call_takes_a_part_of_the_longest_wait_at_most(tiny_bundle: Path) -> None:
    engine = served(tiny_bundle, OnCores(), batching="small", threads=1)
    model = engine.ready().find(None)
    found = []
    for seconds in (0.001, 2.0, 2.1, 5.0, 60.0):
        model.pace = Pace(0)
        model.pace.add({"decode": seconds / 2, "infer": seconds / 2})
        found.append(model.together)
    engine.stop()
    assert model.settings.max_wait == 25
    assert found == [3, 3, 2, 1, 1]


def test_several_unless_one_by_one_is_clearly_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(one: float, several: float) -> int:
        monkeypatch.setattr(together, "rate", lambda _, size, *__: one if size == 1 else several)
        return best_together(lambda _: None, 2)

    assert chosen(100, 110) == SEVERAL
    assert chosen(104, 100) == SEVERAL
    assert chosen(110, 100) == 1


def test_the_rate_is_of_whole_calls() -> None:
    sizes: list[int] = []
    clock = iter(range(100))

    class Clock:
        perf_counter: Callable[[], int] = staticmethod(lambda: next(clock))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "time", Clock)
        # The clock is looked at once at the start and once after each call: 3 calls of 4 pictures in 3 s.
        assert rate(sizes.append, 4, 1, 3.0) == 4.0
    assert sizes == [4, 4, 4]


def test_a_start_measures_it_on_the_cores_only(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("service.planning.measure", lambda *_: (Plan(1, 2, 1), []))
    monkeypatch.setattr("service.planning.best_together", lambda _, threads: asked.append(threads) or SEVERAL)

    def plan(runtime: Recorded, batching: Any) -> Plan:
        options = Settings(models=tiny_bundle, batching=batching, threads=2)
        return planned(options, lambda _: runtime, (8, 8, 3), lambda _: None)[0]

    assert plan(Recorded(), "auto").together == 1
    assert not asked
    assert plan(OnCores(), "auto").together == SEVERAL
    assert asked == [2]
    assert [plan(OnCores(), how).together for how in ("off", 1, "small", 8)] == [1, 1, SEVERAL, 1]
    assert asked == [2]
    assert not on_cpu(Recorded())


@pytest.mark.parametrize(
    ("given", "together", "seconds", "expected"),
    [
        ({}, SEVERAL, 0.02, 2),
        ({}, SEVERAL, 0.004, 3),
        ({}, 1, 0.02, 3),
        ({"threads": 3}, SEVERAL, 0.02, 3),
        ({"threads": 1}, SEVERAL, 0.004, 1),
    ],
    ids=["slow", "fast", "one by one", "as set", "fewer than cores"],
)
def test_one_thread_more_than_cores_where_it_pays(
    given: dict[str, int], together: int, seconds: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.settings.available_cores", lambda: 2)
    monkeypatch.setattr("service.settings.below_quota", lambda: True)
    assert abreast(Settings(models=Path(), **given), Plan(1, 2, 1, together), seconds) == expected


@pytest.mark.parametrize(
    ("kind", "short", "threads"),
    [(OnCores, 0.0, 2), (OnCores, 10.0, 3), (Recorded, 0.0, 3)],
    ids=["slow", "fast", "GPU"],
)
def test_a_start_finds_how_many_threads_work_at_the_same_time(
    kind: type[Recorded], short: float, threads: int, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.settings.available_cores", lambda: 2)
    monkeypatch.setattr("service.settings.below_quota", lambda: True)
    monkeypatch.setattr("service.planning.SHORT", short)
    engine = served(tiny_bundle, kind(), batching="small")
    model = engine.ready().find(None)
    assert model.pace.threads == model.describe()["batching"]["abreast"] == threads
    assert engine._deliveries is not None
    assert engine._deliveries._threads == 2
    engine.stop()


def test_an_answer_that_depends_on_its_company_is_found_at_the_start(tiny_bundle: Path) -> None:
    class Confused(OnCores):
        def run(self, batch: Any) -> Any:
            return super().run(batch)[:1].repeat(len(batch), 0)

    engine = new_engine()
    with loaded(Confused()):
        engine.start(Settings(models=tiny_bundle, batching="small", lone_threads=1)).join()
    assert engine._catalogue is None
    assert "golden" in engine._reason
    engine.stop()


def test_company_is_put_before_and_taken_away_again() -> None:
    seen: list[tuple[int, ...]] = []

    def run(batch: Any) -> Any:
        seen.append(batch.shape)
        return batch.sum(axis=(1, 2, 3), keepdims=True)[..., 0, 0].astype(np.float32)

    pixels = np.ones((1, 2, 2, 3), np.uint8)
    assert in_company(run, 3)(pixels).tolist() == [[12.0]]
    assert seen == [(3, 2, 2, 3)]
