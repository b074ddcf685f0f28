"""From the start until ready, or never ready and why."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from bundle.errors import ConvoyError
from service.errors import NotReady
from service.model import ServedModel
from service.settings import Settings
from tests.pictures import encode, plain
from tests.service.conftest import new_engine, served, start

RED = encode(plain("red"))


def test_not_ready_before_and_ready_after_loading(tiny_settings: Settings) -> None:
    engine = new_engine()
    with pytest.raises(NotReady, match="not started"):
        engine.ready()
    engine.start(tiny_settings).join()
    assert engine.ready().names == ["tiny"]
    engine.stop()
    with pytest.raises(NotReady, match="shutting down"):
        engine.models()


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """No bundle goes on being loaded until this is set."""
    release = threading.Event()
    original = ServedModel.__init__

    def wait(self: ServedModel, *arguments: Any) -> None:
        assert release.wait(10)
        original(self, *arguments)

    monkeypatch.setattr(ServedModel, "__init__", wait)
    return release


def test_loading_answers_503_with_retry_after(tiny_settings: Settings, release: threading.Event) -> None:
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
    engine.stop()


def test_a_broken_bundle_is_never_ready_and_says_why(tiny_bundle: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "broken"))
    (broken / "labels.txt").write_text("blue\ngreen\nreb\n")
    engine = start(Settings(models=broken))
    with served(engine) as service:
        assert service.get("/livez").status_code == 200
        assert service.get("/readyz").status_code == 503
        assert "labels.txt: the content changed" in service.get("/readyz").json()["detail"]
        assert service.post(RED).status_code == 503


def test_without_the_threads_it_needs_it_is_never_ready_and_none_is_left(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, refused, others = threading.Thread.start, [], set(threading.enumerate())

    def start_but_the_last(thread: threading.Thread) -> None:
        if thread.name == f"convoy_{tiny_settings.threads - 1}":
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start_but_the_last)
    engine = start(tiny_settings)
    assert refused
    with pytest.raises(NotReady, match="could not be loaded: see the log"):
        engine.ready()
    assert not [thread for thread in set(threading.enumerate()) - others if thread.name.startswith("convoy_")]


def test_wrong_settings_are_never_ready_and_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVOY_MODELS", raising=False)
    engine = new_engine()
    engine.start().join()
    with pytest.raises(NotReady, match="CONVOY_MODELS: not set"):
        engine.ready()


def test_the_golden_answers_guard_the_door(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundle.golden.GOLDEN_TOLERANCE", {"fp32": -1.0})
    engine = start(Settings(models=tiny_bundle, batching="off"))
    with pytest.raises(NotReady, match="a golden answer was not reproduced") as caught:
        engine.ready()
    assert isinstance(caught.value, ConvoyError)


def test_a_stop_while_loading_is_not_undone(tiny_settings: Settings, release: threading.Event) -> None:
    engine = new_engine()
    loading = engine.start(tiny_settings)
    engine.stop()
    release.set()
    loading.join(10)
    with pytest.raises(NotReady, match="shutting down"):
        engine.ready()
    assert engine._pool is None
