from __future__ import annotations

import pytest

from tests.convoy.command import Convoy


@pytest.fixture
def convoy(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Convoy:
    """The command line in this process."""
    return Convoy(capfd, monkeypatch)
