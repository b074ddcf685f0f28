from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.errors import ImageError
from service.engine import Engine, Outcome
from service.errors import NotReady, Overloaded, OwnDeadlinePassed
from service.job import Job
from service.patience import Patience
from service.settings import Settings
from tests.pictures import encode, plain
from tests.service.conftest import served, start
from tests.service.devices import Held, loaded

RED = encode(plain("red"))
CROP = np.zeros((8, 8, 3), np.uint8)


def test_the_metrics_are_made_once_however_many_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made, together = [], threading.Barrier(4)

    class Slow:
        def __init__(self) -> None:
            made.append(self)
            threading.Event().wait(0.05)  # long enough for the others to come

    monkeypatch.setattr("service.engine.Metrics", Slow)
    engine = Engine()

    def first() -> None:
        together.wait(10)
        assert engine.metrics

    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1


def test_draining_is_not_ready_and_still_answers(tiny_bundle: Path) -> None:
    engine = start(Settings(models=tiny_bundle, batching="off"))
    with served(engine) as service:
        engine.drain()
        assert service.get("/readyz").status_code == 503
        assert "draining" in service.get("/readyz").json()["detail"]
        assert service.get("/livez").status_code == 200
        answer = service.post(RED)
        assert answer.json()["predictions"][0]["label"] == "red"
        # A kept connection would be cut when the door closes: the client is asked to take another one.
        assert answer.headers["connection"] == "close"
    engine.stop()


class House:
    """A ready engine on a held runtime, and what the tests ask of it."""

    def __init__(self, bundle: Path, **settings: Any) -> None:
        self.held = Held()
        with loaded(self.held):
            self.engine = start(Settings(models=bundle, batching="off", **{"max_wait": 25, **settings}))
        self.model = self.engine.ready().find(None)
        self.held.hold()

    def patience(self, seconds: float | None = None) -> Patience:
        return Patience(None if seconds is None else str(seconds), self.engine.settings)

    async def ask(self, source: Any = CROP, seconds: float | None = None, count: int = 1) -> list[Outcome]:
        sources = [source] * count
        return await self.engine.answer(self.model, sources, lambda row: int(row.argmax()), self.patience(seconds))

    async def until_running(self) -> None:
        await self.held.until_running()

    def admitted(self, size: int = 10, seconds: float | None = None) -> Any:
        return self.engine.admitted(self.model, self.patience(seconds), size)

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            asyncio.run(scenario())
        finally:
            self.held.release.set()
            self.engine.stop()


def refused(house: House, match: str, **options: Any) -> Overloaded:
    with pytest.raises(Overloaded, match=match) as caught, house.admitted(**options):
        pytest.fail("the block must not run")
    return caught.value


async def settled(house: House) -> None:
    """Until the threads have reported every job."""
    while house.engine.admission.pictures:
        await asyncio.sleep(0.001)


def test_the_places_are_bounded_and_come_back(tiny_bundle: Path) -> None:
    house = House(tiny_bundle, threads=1, queue=2, max_wait=25)

    async def scenario() -> None:
        accepted = [asyncio.create_task(house.ask()) for _ in range(3)]
        await asyncio.sleep(0)
        assert refused(house, "3 pictures are being worked on").reason == "places"
        house.held.release.set()
        assert all(outcome.error is None for (outcome,) in await asyncio.gather(*accepted))
        await settled(house)
        with house.admitted(), house.admitted(), house.admitted():
            refused(house, "3 pictures")
        with house.admitted():
            assert (await house.ask())[0].error is None

    house.run(scenario)


def test_the_bytes_in_flight_are_bounded(tiny_bundle: Path) -> None:
    house = House(tiny_bundle, max_bytes=1000, max_request_bytes=1000, upload_memory=1000)

    async def scenario() -> None:
        with house.admitted(size=600):
            assert refused(house, "600 bytes of pictures", size=500).reason == "bytes"
            with house.admitted(size=400):
                pass

    house.run(scenario)


def test_who_would_wait_too_long_is_refused_with_the_time_to_come_back(tiny_bundle: Path) -> None:
    house = House(tiny_bundle, threads=1, max_wait=2)

    async def scenario() -> None:
        for _ in range(200):  # a picture takes a second here, the engine has learned
            house.model.pace.add({"decode": 0.25, "infer": 0.75})
        with house.admitted(), house.admitted():
            with house.admitted():
                pass
            with house.admitted(seconds=10), house.admitted(seconds=10), house.admitted(seconds=10):
                error = refused(house, "an answer would take about 5")
                assert (error.reason, error.retry_after) == ("time", 3)
                refused(house, "an answer would take about 5", seconds=4)
            # Three are ahead and its own deadline is nearer than that.
            refused(house, "an answer would take", seconds=1.5)
        await settled(house)
        # Nobody is ahead: waiting is no reason, and the deadline is longer than a picture has ever taken.
        with house.admitted(seconds=1.5):
            pass

    house.run(scenario)


def test_a_request_whose_deadline_passed_never_reaches_the_model(tiny_bundle: Path) -> None:
    house = House(tiny_bundle, threads=1)

    async def scenario() -> None:
        running = asyncio.create_task(house.ask())
        await house.until_running()
        (late,) = await house.ask(seconds=0.05)
        assert isinstance(late.error, OwnDeadlinePassed)
        house.held.release.set()
        assert (await running)[0].error is None
        assert (await house.ask())[0].error is None

    house.run(scenario)
    assert len(house.held.sizes) == 2


def test_a_cancelled_request_leaves_the_queue(tiny_bundle: Path) -> None:
    house = House(tiny_bundle, threads=1)

    async def scenario() -> None:
        running = asyncio.create_task(house.ask())
        await house.until_running()
        waiting = asyncio.create_task(house.ask())
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()
        house.held.release.set()
        await running
        await settled(house)

    house.run(scenario)
    assert len(house.held.sizes) == 1


def test_one_bad_picture_of_several_is_one_error(tiny_bundle: Path) -> None:
    house = House(tiny_bundle)
    house.held.release.set()

    async def scenario() -> None:
        sources = [RED, b"no picture", RED]
        outcomes = await house.engine.answer(house.model, sources, lambda row: row.argmax(), house.patience())
        assert [isinstance(outcome.error, ImageError) for outcome in outcomes] == [False, True, False]
        assert outcomes[0].answer == outcomes[2].answer == 2

    house.run(scenario)


def test_a_stopped_engine_refuses_and_finishes_what_runs(tiny_bundle: Path) -> None:
    house = House(tiny_bundle, threads=1)

    async def scenario() -> None:
        running = asyncio.create_task(house.ask())
        await house.until_running()
        waiting = asyncio.create_task(house.ask())
        await asyncio.sleep(0)
        stopping = asyncio.create_task(asyncio.to_thread(house.engine.stop))
        (refused,) = await waiting
        assert isinstance(refused.error, NotReady)
        with pytest.raises(NotReady, match="shutting down"):
            house.engine.models()
        house.held.release.set()
        assert (await running)[0].error is None
        await stopping
        (late,) = await house.ask()
        assert isinstance(late.error, NotReady)

    house.run(scenario)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Every job that an engine makes."""
    made: list[Job] = []

    def make(*arguments: Any) -> Job:
        made.append(Job(*arguments))
        return made[-1]

    monkeypatch.setattr("service.engine.Job", make)
    return made


async def queued_long_ago(jobs: list[Job], count: int) -> None:
    """Once there are `count` jobs more: all but the first one have been in the queue for 10 s."""
    while len(jobs) < count + 1:
        await asyncio.sleep(0)
    for job in jobs[1:]:
        job._left -= 10


def test_who_has_waited_much_longer_than_expected_is_refused_when_its_turn_comes(
    tiny_bundle: Path, jobs: list[Job]
) -> None:
    house = House(tiny_bundle, threads=1, max_wait=5)

    async def scenario() -> None:
        running = asyncio.create_task(house.ask())
        await house.until_running()
        waiting = asyncio.create_task(house.ask())
        patient = asyncio.create_task(house.ask(seconds=20))
        await queued_long_ago(jobs, 2)
        house.held.release.set()
        (late,) = await waiting
        assert isinstance(late.error, Overloaded)
        assert late.error.reason == "late"
        assert (await running)[0].error is None
        assert (await patient)[0].error is None

    house.run(scenario)
    assert len(house.held.sizes) == 2


def test_the_pictures_of_one_request_do_not_make_each_other_late(tiny_bundle: Path, jobs: list[Job]) -> None:
    house = House(tiny_bundle, threads=1, max_wait=5)

    async def scenario() -> None:
        running = asyncio.create_task(house.ask(count=4))
        await house.until_running()
        await queued_long_ago(jobs, 3)
        house.held.release.set()
        assert [outcome.error for outcome in await running] == [None] * 4

    house.run(scenario)


def test_a_late_request_is_late_with_all_its_pictures(tiny_bundle: Path, jobs: list[Job]) -> None:
    house = House(tiny_bundle, threads=1, max_wait=5)

    async def scenario() -> None:
        running = asyncio.create_task(house.ask())
        await house.until_running()
        waiting = asyncio.create_task(house.ask(count=2))
        await queued_long_ago(jobs, 2)
        house.held.release.set()
        assert all(isinstance(outcome.error, Overloaded) for outcome in await waiting)
        assert 'convoy_shed_total{reason="late"} 2.0' in house.engine.exposition().decode()
        assert (await running)[0].error is None

    house.run(scenario)
