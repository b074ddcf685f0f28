from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import runtime
from service.errors import NotReady
from service.settings import Settings
from tests.pictures import encode, plain
from tests.service.conftest import Served, new_engine, served
from tests.service.devices import Recorded

RED = encode(plain("red"))


def count(service: Served, result: str) -> float:
    lines = service.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("convoy_shadow_total") and f'result="{result}"' in line]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def until(service: Served, result: str, least: float) -> None:
    turn = threading.Event()
    for _ in range(500):
        if count(service, result) >= least:
            return
        turn.wait(0.01)
    pytest.fail(f"{count(service, result)} {result}, expected {least}")


def test_a_shadow_that_agrees_is_counted_and_changes_no_answer(twins: Path) -> None:
    engine = new_engine()
    engine.start(Settings(models=twins, artefact="onnx", batching="off", shadow="twin", shadow_share=1)).join()
    with served(engine) as service:
        answers = [service.post(RED).json() for _ in range(3)]
        assert answers[0]["predictions"][0]["label"] == "red"
        assert answers[0] == answers[1] == answers[2]
        until(service, "agreed", 1)
        assert count(service, "differed") == count(service, "failed") == 0
    engine.stop()


class Wrong(Recorded):
    """Right about its golden pictures, and never again; sometimes not even that."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = ""

    def run(self, batch: Any) -> Any:
        if self.mode == "fail":
            raise RuntimeError("shadow")
        found = super().run(batch)
        return np.roll(found, 1, axis=1) if self.mode else found


def test_a_shadow_that_differs_or_fails_is_only_counted(twins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, real = Wrong(), runtime.LOADERS[".onnx"]
    monkeypatch.setitem(
        runtime.LOADERS,
        ".onnx",
        lambda b, artefact, *rest: wrong if artefact.target == "twin" else real(b, artefact, *rest),
    )
    engine = new_engine()
    engine.start(Settings(models=twins, artefact="onnx", batching="off", shadow="twin", shadow_share=1)).join()
    with served(engine) as service:
        for mode, result in (("wrong", "differed"), ("fail", "failed")):
            wrong.mode = mode
            assert service.post(RED).json()["predictions"][0]["label"] == "red"
            until(service, result, 1)
    engine.stop()


def test_another_bundle_may_be_the_shadow_and_a_wrong_one_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, batching="off", shadow=str(tiny_bundle), shadow_share=1)).join()
    with served(engine) as service:
        service.post(RED)
        until(service, "agreed", 1)
    engine.stop()
    for shadow, message in ((str(tmp_path / "none"), "no bundle folder here"), ("int8", "no artefact 'int8'")):
        broken = new_engine()
        broken.start(Settings(models=tiny_bundle, batching="off", shadow=shadow)).join()
        with pytest.raises(NotReady, match=message):
            broken.ready()
