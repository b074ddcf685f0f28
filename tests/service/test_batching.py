"""Batches: what goes in comes out, whoever the neighbours are; and they pay on a device that likes them."""

from __future__ import annotations

import asyncio
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.errors import ImageError
from bundle.image import decode
from bundle.preprocess import preprocess
from service import plan_cache
from service.batcher import Batcher
from service.curve import Plan, measure
from service.engine import Engine, Outcome
from service.errors import AnswerNotFinite, OwnDeadlinePassed
from service.job import Job
from service.model import ServedModel
from service.patience import Patience
from service.settings import Settings
from tests.pictures import COLOURS, encode, noise, plain
from tests.service.conftest import new_engine
from tests.service.devices import Device, Held, Poisoned, Recorded, Unhurried, loaded
from tests.tiny import SPEC, probabilities_of

GOOD = [encode(plain(list(COLOURS)[n % 3], seed=n), ("PNG", "JPEG", "WEBP")[n % 3]) for n in range(32)]
WHOLE = encode(noise(60, 40), "JPEG")
BAD = [b"", b"hello", WHOLE[:200], WHOLE[:-300], b"\xff\xd8\xff", b"GIF89a", encode(plain("red"))[:60], b"\x89PNG\r\n"]


def engine_with(bundle: Path, simulated: Recorded | None = None, **options: Any) -> Engine:
    engine = new_engine()
    chosen = Settings(models=bundle, max_wait=25, queue=512, **options)
    if simulated is None:
        engine.start(chosen).join()
    else:
        with loaded(simulated):
            engine.start(chosen).join()
    engine.ready()
    return engine


async def ask(engine: Engine, source: Any, shape: Any = np.copy, seconds: str | None = None) -> Outcome:
    model = engine.ready().find(None)
    (outcome,) = await engine.answer(model, [source], shape, Patience(seconds, engine.settings))
    return outcome


async def given_back(engine: Engine) -> None:
    """Until no picture has a place any more."""
    async with asyncio.timeout(10):
        while engine.admission.pictures:
            await asyncio.sleep(0)


@pytest.fixture(scope="module")
def batching(tiny_bundle: Path):
    engine = engine_with(tiny_bundle, batching=32, threads=4)
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def singles() -> list[Any]:
    return [probabilities_of(preprocess(decode(data), SPEC)) for data in GOOD]


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_answers_do_not_depend_on_the_neighbours(batching: Engine, singles: list[Any], order: random.Random) -> None:
    """32 good pictures among 8 corrupt ones, in any order and with any pauses, get what each gets alone."""
    numbered = [*enumerate(GOOD), *((-1, data) for data in BAD)]
    order.shuffle(numbered)

    async def one(number: int, data: bytes) -> tuple[int, Outcome]:
        for _ in range(order.randrange(20)):
            await asyncio.sleep(0)
        return number, await ask(batching, data)

    async def scenario() -> list[tuple[int, Outcome]]:
        return await asyncio.gather(*(one(number, data) for number, data in numbered))

    answers = asyncio.run(scenario())
    assert sum(number < 0 for number, _ in answers) == 8
    for number, outcome in answers:
        if number < 0:
            assert isinstance(outcome.error, ImageError)
        else:
            np.testing.assert_allclose(outcome.answer, singles[number], atol=1e-6, rtol=0)


def test_a_free_lane_takes_what_has_gathered(tiny_bundle: Path) -> None:
    held = Held()
    engine = engine_with(tiny_bundle, held, batching=4, threads=2)
    held.hold()

    async def scenario() -> None:
        first = asyncio.create_task(ask(engine, GOOD[0]))
        await held.until_running()
        others = [asyncio.create_task(ask(engine, data)) for data in GOOD[1:7]]
        model = engine.ready().find(None)
        while model.depth < 6:
            await asyncio.sleep(0)
        held.release.set()
        outcomes = await asyncio.gather(first, *others)
        assert all(outcome.error is None for outcome in outcomes)

    asyncio.run(scenario())
    engine.stop()
    assert held.sizes == [1, 4, 2]


@pytest.mark.parametrize("reason", ["cancelled", "expired"])
def test_who_no_longer_waits_leaves_before_inference(tiny_bundle: Path, reason: str) -> None:
    held = Held()
    engine = engine_with(tiny_bundle, held, batching=8, threads=2)
    held.hold()

    async def scenario() -> None:
        first = asyncio.create_task(ask(engine, GOOD[0]))
        await held.until_running()
        leaving = asyncio.create_task(ask(engine, GOOD[1], seconds="20"))
        staying = asyncio.create_task(ask(engine, GOOD[2]))
        model = engine.ready().find(None)
        while model.depth < 2:
            await asyncio.sleep(0)
        if reason == "cancelled":
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
        else:
            (waiting,) = [job for job in model._batcher._waiting if job.source == GOOD[1]]
            waiting._deadline = 0.0
        held.release.set()
        if reason == "expired":
            assert isinstance((await leaving).error, OwnDeadlinePassed)
        assert (await first).error is None
        assert (await staying).error is None
        await given_back(engine)

    asyncio.run(scenario())
    engine.stop()
    assert held.sizes == [1, 1]


def test_a_batch_that_fails_is_run_one_by_one(tiny_bundle: Path) -> None:
    async def scenario() -> list[Any]:
        patience = Patience("10", Settings(models=Path()))
        jobs = [Job(np.full((8, 8, 3), value, np.uint8), patience, np.argmax) for value in (0, 255, 7)]
        for job in jobs:
            job.pixels = job.source  # type: ignore[assignment]
        ended: list[Job] = []
        batcher = Batcher(Poisoned().run, Plan(8, 1, 1), ended.append, lambda *_: None)
        batcher._answer(jobs)
        for job in ended:
            job.settle()
        results = await asyncio.gather(*(job.answer() for job in jobs), return_exceptions=True)
        batcher.close()
        assert ended == jobs
        return results

    first, second, third = asyncio.run(scenario())
    assert isinstance(second, RuntimeError)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)


class Broken(Recorded):
    """Answers NaN for a white picture."""

    def run(self, batch: Any) -> Any:
        found = super().run(batch)
        found[(batch == 255).all(axis=(1, 2, 3))] = np.nan
        return found


@pytest.mark.parametrize("batching", ["off", 4])
def test_an_answer_that_is_no_number_is_an_error_and_nothing_leaks(tiny_bundle: Path, batching: Any) -> None:
    engine = engine_with(tiny_bundle, Broken(), batching=batching, threads=2)
    white, black = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)

    async def scenario() -> None:
        for _ in range(3):
            assert isinstance((await ask(engine, white)).error, AnswerNotFinite)
            assert (await ask(engine, black)).error is None
        await given_back(engine)

    asyncio.run(scenario())
    engine.stop()


@pytest.mark.parametrize("batching", ["off", 4])
def test_what_fails_after_an_answer_takes_nothing_with_it(
    tiny_bundle: Path, batching: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engine_with(tiny_bundle, Recorded(), batching=batching, threads=2)

    def fail(*_: Any) -> None:
        raise ValueError("after the answer")

    monkeypatch.setattr(engine.ready().find(None), "_learn_from", fail)

    async def scenario() -> None:
        for _ in range(3):
            assert (await ask(engine, GOOD[0])).error is None
        await given_back(engine)

    asyncio.run(scenario())
    engine.stop()
    assert "after the answer" in caplog.text


def test_the_curve_finds_what_the_device_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.curve.throughput", lambda device, _, batch, *__: device.limit(batch))
    monkeypatch.setattr("service.curve.BUDGET_SECONDS", math.inf)
    flat = Device(0.02, 0.0001)
    plan, points = measure(lambda threads: flat, (8, 8, 3), 2)
    assert plan == Plan(32, 1, 1), points
    assert points[0].batch == 1
    weak = Device(0.02, 0.05)
    assert measure(lambda threads: weak, (8, 8, 3), 2)[0].cap > 1
    assert measure(lambda threads: weak, (8, 8, 3), 2, 1.5)[0].cap == 1
    steep = Device(0.0, 0.02)
    plan, points = measure(lambda threads: steep, (8, 8, 3), 2)
    assert plan == Plan(1, 2, 1), points


def test_the_plan_is_measured_once_per_machine_and_bundle(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def spy(*arguments: Any) -> Any:
        measured.append(1)
        return measure(*arguments)

    monkeypatch.setattr("service.planning.measure", spy)
    cache = tmp_path / "cache"
    plans = []
    for _ in range(2):
        engine = engine_with(tiny_bundle, cache=cache)
        plans.append(engine.ready().find(None).plan)
        engine.stop()
    assert len(measured) == 1
    assert plans[0] == plans[1]
    (kept,) = cache.iterdir()
    kept.write_text('{"plan": {"cap": 0}}')
    engine_with(tiny_bundle, cache=cache).stop()
    assert len(measured) == 2
    for choice in ("off", 4):
        engine_with(tiny_bundle, cache=cache, batching=choice).stop()
    assert len(measured) == 2


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    engine_with(tiny_bundle, cache=tmp_path / "file" / "below").stop()


def test_the_key_is_of_everything_that_matters() -> None:
    keys = {plan_cache.key_of(bundle="a", threads=threads, runtime_version=v) for threads in (1, 2) for v in "12"}
    assert len(keys) == 4


def test_batches_fill_up_when_many_ask(tiny_bundle: Path) -> None:
    """64 clients in a closed loop: while one batch is computed the next gathers, up to the cap."""
    device = Unhurried()
    engine = engine_with(tiny_bundle, device, batching=32, threads=2)
    model: ServedModel = engine.ready().find(None)
    device.sizes.clear()
    pixels = np.zeros((8, 8, 3), np.uint8)
    clients = 64
    # A call takes until everybody who is not in it has asked again.
    device.gathered = lambda size: model.depth >= min(32, clients - size)

    async def client() -> None:
        nonlocal clients
        for _ in range(9):
            assert (await ask(engine, pixels)).error is None
        clients -= 1

    async def scenario() -> None:
        await asyncio.gather(*(client() for _ in range(64)))

    asyncio.run(scenario())
    engine.stop()
    assert sum(device.sizes) == 64 * 9
    assert max(device.sizes) == 32
    assert device.sizes.count(32) >= 0.75 * len(device.sizes), device.sizes


@pytest.mark.slow
def test_batches_reach_what_a_device_can_do(tiny_bundle: Path) -> None:
    """64 clients in a closed loop get at least 90 % of what calls of 32 pictures give, on a machine that is free."""
    device = Device(0.06, 0.001)
    engine = engine_with(tiny_bundle, device, batching="auto", threads=2)
    model: ServedModel = engine.ready().find(None)
    assert model.plan.cap == 32
    pixels = np.zeros((8, 8, 3), np.uint8)
    answered: list[float] = []

    async def client() -> None:
        for _ in range(9):
            assert (await ask(engine, pixels)).error is None
            answered.append(time.perf_counter())

    async def scenario() -> float:
        await asyncio.gather(*(client() for _ in range(64)))
        # The first round begins with a batch of one, as nobody waits yet.
        return (len(answered) - 64) / (answered[-1] - answered[63])

    reached = asyncio.run(scenario())
    engine.stop()
    share = reached / device.limit(32)
    print(f"simulated device: {reached:.0f} of {device.limit(32):.0f} pictures/s, {share:.1%}")
    assert share >= 0.9
