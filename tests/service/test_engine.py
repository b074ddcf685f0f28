from __future__ import annotations

import asyncio
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bundle.errors import ConvoyError
from service.engine import Engine
from service.errors import DeadlinePassed, NotReady, Overloaded
from service.model import ServedModel
from service.settings import Settings
from tests.pictures import encode, plain
from tests.service.conftest import new_engine, served

RED = encode(plain("red"))


def start(settings: Settings) -> Engine:
    engine = new_engine()
    engine.start(settings).join()
    return engine


def test_not_ready_before_and_ready_after_loading(tiny_settings: Settings) -> None:
    engine = new_engine()
    with pytest.raises(NotReady, match="not started"):
        engine.ready()
    engine.start(tiny_settings).join()
    assert engine.ready().name == "tiny"
    engine.stop()
    with pytest.raises(NotReady, match="shutting down"):
        engine.ready()


def test_loading_answers_503_with_retry_after(tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    original = ServedModel.__init__

    def wait(self: ServedModel, *arguments: Any) -> None:
        assert release.wait(10)
        original(self, *arguments)

    monkeypatch.setattr(ServedModel, "__init__", wait)
    engine = new_engine()
    loading = engine.start(tiny_settings)
    with served(engine) as service:
        assert service.get("/livez").status_code == 200
        for response in (service.get("/readyz"), service.post(RED), service.get("/models")):
            assert response.status_code == 503
            assert response.headers["retry-after"] == "1"
            assert "being loaded and checked" in response.json()["detail"]
        release.set()
        loading.join(10)
        assert service.get("/readyz").status_code == 200
        assert service.post(RED).status_code == 200


def test_a_broken_bundle_is_never_ready_and_says_why(tiny_bundle: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "broken"))
    (broken / "labels.txt").write_text("blue\ngreen\nreb\n")
    engine = start(Settings(bundle=broken))
    with served(engine) as service:
        assert service.get("/livez").status_code == 200
        assert service.get("/readyz").status_code == 503
        assert "labels.txt: the content changed" in service.get("/readyz").json()["detail"]
        assert service.post(RED).status_code == 503


def test_wrong_settings_are_never_ready_and_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVOY_BUNDLE", raising=False)
    engine = new_engine()
    engine.start().join()
    with pytest.raises(NotReady, match="CONVOY_BUNDLE: not set"):
        engine.ready()


class Held:
    """A model whose answers wait until they are released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.running = threading.Semaphore(0)
        self.calls = 0

    def classify(self, data: bytes, k: int, observe: object) -> dict[str, Any]:
        self.calls += 1
        self.running.release()
        assert self.release.wait(10)
        return {"k": k}


async def classify(engine: Engine, model: Held, k: int, seconds: float = 10) -> dict[str, Any]:
    return await engine.classify(model, b"", k, time.monotonic() + seconds)  # type: ignore[arg-type]


def test_the_queue_is_bounded_and_recovers(tiny_bundle: Path) -> None:
    engine, held = start(Settings(bundle=tiny_bundle, threads=1, queue=2)), Held()

    async def scenario() -> None:
        accepted = [asyncio.create_task(classify(engine, held, k)) for k in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="3 requests are being worked on"), engine.admitted():
            pytest.fail("the block must not run")
        held.release.set()
        assert [answer["k"] for answer in await asyncio.gather(*accepted)] == [0, 1, 2]
        await asyncio.sleep(0)
        with engine.admitted(), engine.admitted(), engine.admitted(), pytest.raises(Overloaded), engine.admitted():
            pytest.fail("the block must not run")
        with engine.admitted():
            assert (await classify(engine, held, 4))["k"] == 4

    asyncio.run(scenario())


def test_a_request_whose_deadline_passed_never_reaches_the_model(tiny_bundle: Path) -> None:
    engine, held = start(Settings(bundle=tiny_bundle, threads=1, queue=8)), Held()

    async def scenario() -> None:
        running = asyncio.create_task(classify(engine, held, 1))
        await asyncio.to_thread(held.running.acquire)
        with pytest.raises(DeadlinePassed):
            await classify(engine, held, 2, seconds=0.05)
        held.release.set()
        await running
        assert (await classify(engine, held, 3))["k"] == 3

    asyncio.run(scenario())
    assert held.calls == 2


def test_a_cancelled_request_leaves_the_queue(tiny_bundle: Path) -> None:
    engine, held = start(Settings(bundle=tiny_bundle, threads=1, queue=1)), Held()

    async def scenario() -> None:
        running = asyncio.create_task(classify(engine, held, 1))
        await asyncio.to_thread(held.running.acquire)
        waiting = asyncio.create_task(classify(engine, held, 2))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        held.release.set()
        await running

    asyncio.run(scenario())
    assert held.calls == 1


def test_a_stopped_engine_refuses_and_finishes_what_runs(tiny_bundle: Path) -> None:
    engine, held = start(Settings(bundle=tiny_bundle, threads=1)), Held()

    async def scenario() -> None:
        running = asyncio.create_task(classify(engine, held, 1))
        await asyncio.to_thread(held.running.acquire)
        stopping = asyncio.create_task(asyncio.to_thread(engine.stop))
        while engine._reason != "shutting down":
            await asyncio.sleep(0)
        with pytest.raises(NotReady):
            engine.ready()
        held.release.set()
        assert (await running)["k"] == 1
        await stopping
        with pytest.raises(NotReady):
            await classify(engine, held, 2)

    asyncio.run(scenario())


def test_the_golden_answers_guard_the_door(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundle.golden.GOLDEN_TOLERANCE", {"fp32": -1.0})
    engine = start(Settings(bundle=tiny_bundle))
    with pytest.raises(NotReady, match="a golden answer was not reproduced") as caught:
        engine.ready()
    assert isinstance(caught.value, ConvoyError)


def test_what_waits_at_a_stop_is_refused_as_not_ready(tiny_bundle: Path) -> None:
    engine, held = start(Settings(bundle=tiny_bundle, threads=1)), Held()

    async def scenario() -> None:
        running = asyncio.create_task(classify(engine, held, 1))
        await asyncio.to_thread(held.running.acquire)
        waiting = asyncio.create_task(classify(engine, held, 2))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(asyncio.to_thread(engine.stop))
        with pytest.raises(NotReady, match="shutting down"):
            await waiting
        held.release.set()
        assert (await running)["k"] == 1
        await stopping

    asyncio.run(scenario())


def test_a_stop_while_loading_is_not_undone(tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    original = ServedModel.__init__

    def wait(self: ServedModel, *arguments: Any) -> None:
        assert release.wait(10)
        original(self, *arguments)

    monkeypatch.setattr(ServedModel, "__init__", wait)
    engine = new_engine()
    loading = engine.start(tiny_settings)
    engine.stop()
    release.set()
    loading.join(10)
    with pytest.raises(NotReady, match="shutting down"):
        engine.ready()
    assert engine._pool is None
