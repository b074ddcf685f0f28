"""Who is alone in a service gets all cores; as soon as another one is there, each gets its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import lone, runtime
from service.lone import Choice
from service.pace import Pace
from service.settings import Settings
from tests.service.conftest import new_engine
from tests.service.devices import Held
from tests.service.test_batching import GOOD, ask, given_back


class OnCores(Held):
    """Remembers how many threads each of its calls had."""

    provider = runtime.CPU
    threads = 1


class Sessions:
    """Stands for onnxruntime: one runtime for each number of threads."""

    def __init__(self) -> None:
        self.of: dict[int, OnCores] = {}

    def load(self, bundle: Any, artefact: Any, threads: int, options: Any) -> OnCores:
        return self.of.setdefault(threads, OnCores())

    def calls(self) -> dict[int, int]:
        return {threads: len(found.sizes) for threads, found in self.of.items()}

    def forget(self) -> None:
        for found in self.of.values():
            found.sizes.clear()


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    made = Sessions()
    monkeypatch.setitem(runtime.LOADERS, ".onnx", made.load)
    monkeypatch.setattr(lone, "MUST_GAIN", 0.0)
    monkeypatch.setattr(Choice, "next", lambda _: 0)
    return made


def started(bundle: Path, **options: Any) -> Any:
    engine = new_engine()
    engine.start(Settings(models=bundle, max_wait=25, threads=2, batching="off", **options)).join()
    engine.ready()
    return engine


def test_alone_one_after_the_other_all_have_all_cores(tiny_bundle: Path, sessions: Sessions) -> None:
    engine = started(tiny_bundle)
    sessions.forget()

    async def scenario() -> None:
        for picture in GOOD[:5]:
            outcome = await ask(engine, picture)
            assert outcome.error is None
            await given_back(engine)

    asyncio.run(scenario())
    engine.stop()
    assert sessions.calls() == {1: 0, 2: 5}


def test_who_comes_while_another_one_is_there_gets_one_core(tiny_bundle: Path, sessions: Sessions) -> None:
    engine = started(tiny_bundle)
    one, wide = sessions.of[1], sessions.of[2]
    sessions.forget()
    wide.hold()

    async def scenario() -> None:
        first = asyncio.create_task(ask(engine, GOOD[0]))
        await wide.until_running()
        assert (await ask(engine, GOOD[1])).error is None
        assert sessions.calls() == {1: 1, 2: 0}
        one.hold()
        third = asyncio.create_task(ask(engine, GOOD[2]))
        await one.until_running()
        wide.release.set()
        assert (await first).error is None
        fourth = asyncio.create_task(ask(engine, GOOD[3]))
        await one.until_running()
        one.release.set()
        assert (await third).error is None
        assert (await fourth).error is None

    asyncio.run(scenario())
    engine.stop()
    assert sessions.calls()[2] == 1


@pytest.mark.parametrize(
    "options", [{"lone_threads": 1}, {"threads": 1}, {"batching": 4}], ids=["switched off", "one core", "batches"]
)
def test_there_is_no_second_session(tiny_bundle: Path, sessions: Sessions, options: dict[str, Any]) -> None:
    engine = new_engine()
    engine.start(Settings(**{"models": tiny_bundle, "threads": 2, "batching": "off", **options})).join()
    model = engine.ready().find(None)
    assert model.wide is None
    assert model.describe()["batching"]["lone"] is False
    engine.stop()


def test_real_sessions_of_one_and_two_threads_answer_alike(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lone, "MUST_GAIN", 0.0)
    engine = started(tiny_bundle)
    model = engine.ready().find(None)
    assert model.describe()["batching"]["lone"] is True

    async def scenario() -> None:
        alone = [np.asarray((await ask(engine, picture)).answer) for picture in GOOD[:4]]
        together = await asyncio.gather(*(ask(engine, picture) for picture in GOOD[:4]))
        for mine, theirs in zip(alone, together, strict=True):
            np.testing.assert_allclose(mine, np.asarray(theirs.answer), atol=1e-6)

    asyncio.run(scenario())
    engine.stop()


def test_the_pace_under_load_is_not_learned_from_lone_pictures() -> None:
    pace = Pace(0)
    pace.add({"decode": 0.002, "infer": 0.05})
    for _ in range(50):
        pace.add({"decode": 0.002, "infer": 0.02}, alone=True)
    assert pace.pool_seconds == pytest.approx(0.052)
    assert pace.own_seconds == pytest.approx(0.022)


def test_a_first_idea_of_the_pace_knows_that_threads_share_cores() -> None:
    pace = Pace(0)
    pace.expect({"preprocess": 0.01, "infer": 0.05}, 1.5)
    assert pace.pool_seconds == pytest.approx(0.09)
    assert pace.own_seconds == pytest.approx(0.06)
