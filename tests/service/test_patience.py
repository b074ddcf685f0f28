from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import DeadlinePassed, OwnDeadlinePassed
from service.patience import Patience
from service.settings import Settings

SETTINGS = Settings(models=Path(), timeout=10, max_wait=2)


class Clock:
    """Stands still but for what a test adds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("service.patience.time.monotonic", lambda: self.now)


def test_a_slow_upload_leaves_the_answer_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    patience = Patience(None, SETTINGS)
    clock.now += 9
    assert patience.left() == 10
    assert patience.deadline() == clock.now + 10
    assert patience.max_wait == 2
    assert isinstance(patience.passed(), DeadlinePassed)


def test_a_timeout_of_its_own_is_of_the_whole_request(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    patience = Patience("8", SETTINGS)
    clock.now += 6
    assert patience.left() == 2
    assert patience.deadline() == 1008
    assert patience.max_wait == 8
    clock.now += 6
    assert patience.left() == 0
    assert isinstance(patience.passed(), OwnDeadlinePassed)
    assert Patience("99", SETTINGS).left() == 10
