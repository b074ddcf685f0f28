from __future__ import annotations

import subprocess
import sys

import pytest

from service.priority import INTERPRETER_SECONDS
from service.run import ROOT


def test_the_service_begins_with_short_turns() -> None:
    begin = "from service import app; app.ENGINE.start = lambda: None; app.Convoy.inner(); "
    tell = "import sys; print(sys.getswitchinterval())"
    done = subprocess.run([sys.executable, "-c", begin + tell], capture_output=True, text=True, check=True, cwd=ROOT)
    assert float(done.stdout.split()[-1]) == pytest.approx(INTERPRETER_SECONDS)
