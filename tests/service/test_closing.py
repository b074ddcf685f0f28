"""What was loaded is closed, however the start ends."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from service.errors import NotReady
from service.settings import Settings
from tests.service.conftest import new_engine


class Lanes:
    """The inference threads that were begun and have not ended."""

    def __init__(self) -> None:
        self.before = set(threading.enumerate())

    @property
    def left(self) -> list[str]:
        new = set(threading.enumerate()) - self.before
        return [thread.name for thread in new if thread.name in ("convoy-infer", "convoy-shadow")]


def test_models_before_a_broken_one_are_closed(tiny_bundle: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(tiny_bundle, tmp_path / name / "1")
    (tmp_path / "b" / "1" / "model.onnx").write_bytes(b"changed")
    lanes, engine = Lanes(), new_engine()
    engine.start(Settings(models=tmp_path, batching=4)).join()
    with pytest.raises(NotReady, match=r"model\.onnx"):
        engine.models()
    assert not lanes.left


@pytest.mark.parametrize("shadow", ["", "onnx"])
def test_models_that_are_loaded_after_a_stop_are_closed(tiny_bundle: Path, shadow: str) -> None:
    lanes, engine = Lanes(), new_engine()
    engine.stop()
    engine.start(Settings(models=tiny_bundle, batching=4, shadow=shadow)).join()
    with pytest.raises(NotReady):
        engine.models()
    assert not lanes.left


def test_a_stop_right_after_the_models_are_published_ends_their_shadows(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the loading thread itself: nothing can come earlier than what `_announce` logs."""
    lanes, engine = Lanes(), new_engine()
    monkeypatch.setattr(engine, "_announce", lambda _: engine.stop())
    engine.start(Settings(models=tiny_bundle, batching=4, shadow="onnx")).join()
    assert not lanes.left
