"""Which artefact of a bundle answers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.folder import open_bundle
from service import runtime
from service.errors import NotReady
from service.settings import Settings
from tests.service.conftest import new_engine
from tests.service.devices import Device


class Saturating(Device):
    """The fastest, and wrong on this machine."""

    def __init__(self) -> None:
        super().__init__(0.0001, 0)

    def run(self, batch: Any) -> Any:
        return np.roll(super().run(batch), 1, axis=1)


def test_the_fastest_artefact_is_chosen(twins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"onnx": Device(0.01, 0), "twin": Device(0.001, 0)}
    monkeypatch.setitem(runtime.LOADERS, ".onnx", lambda _, artefact, *__: speeds[artefact.target])
    for expected in ("twin", "onnx"):
        engine = new_engine()
        engine.start(Settings(models=twins, batching="off")).join()
        assert engine.ready().find(None).artefact.target == expected
        engine.stop()
        speeds = {"onnx": Device(0.001, 0), "twin": Device(0.01, 0)}


def test_int8_needs_a_measured_accuracy_to_be_chosen_by_itself(twins: Path) -> None:
    manifest = open_bundle(twins).manifest
    small = manifest.artefacts[1].model_copy(update={"precision": "int8"})
    both = manifest.model_copy(update={"artefacts": (manifest.artefacts[0], small)})
    assert [artefact.target for artefact in runtime.candidates(both, "auto")] == ["onnx"]
    assert [artefact.target for artefact in runtime.candidates(both, "twin")] == ["twin"]


def test_one_that_does_not_give_its_golden_answers_here_gives_way_to_the_next(
    twins: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    devices = {"onnx": Device(0.001, 0), "twin": Saturating()}
    monkeypatch.setitem(runtime.LOADERS, ".onnx", lambda _, artefact, *__: devices[artefact.target])
    monkeypatch.setattr("service.choice.throughput", lambda device, **_: float(device is devices["twin"]))
    engine = new_engine()
    with caplog.at_level(logging.WARNING, "convoy.service"):
        engine.start(Settings(models=twins, batching="off")).join()
    assert engine.ready().find(None).artefact.target == "onnx"
    engine.stop()
    (told,) = [record.getMessage() for record in caplog.records if record.name == "convoy.service"]
    assert told.startswith("twin is left out on this machine: ")
    assert "a golden answer was not reproduced: twin differs by" in told


def test_one_that_was_asked_for_gives_way_to_none(twins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = {"onnx": Device(0.001, 0), "twin": Saturating()}
    monkeypatch.setitem(runtime.LOADERS, ".onnx", lambda _, artefact, *__: devices[artefact.target])
    engine = new_engine()
    engine.start(Settings(models=twins, artefact="twin", batching="off")).join()
    with pytest.raises(NotReady, match="twin differs by"):
        engine.ready()


def test_where_none_gives_its_golden_answers_none_serves(twins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = {"onnx": Saturating(), "twin": Saturating()}
    monkeypatch.setitem(runtime.LOADERS, ".onnx", lambda _, artefact, *__: devices[artefact.target])
    monkeypatch.setattr("service.choice.throughput", lambda device, **_: float(device is devices["twin"]))
    engine = new_engine()
    engine.start(Settings(models=twins, batching="off")).join()
    with pytest.raises(NotReady, match="onnx differs by"):
        engine.ready()
