from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from service.priority import INTERPRETER_SECONDS, take_short_turns
from service.run import ROOT


@pytest.fixture(autouse=True)
def interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def waited(turns: int) -> float:
    """The least seconds that a thread waited for the interpreter beside one that computes in it."""
    least, ended, began = 10.0, threading.Event(), threading.Event()

    def compute() -> None:
        began.set()
        while not ended.is_set():
            sum(range(100))

    thread = threading.Thread(target=compute)
    thread.start()
    began.wait()
    for _ in range(turns):
        started = time.perf_counter()
        time.sleep(0)  # gives the interpreter away and wants it back
        least = min(least, time.perf_counter() - started)
    ended.set()
    thread.join()
    return least


def test_a_thread_gets_the_interpreter_soon() -> None:
    sys.setswitchinterval(0.05)
    assert waited(5) > 0.02
    take_short_turns()
    assert waited(50) < 0.02


def test_the_service_begins_with_it() -> None:
    begin = "from service import app; app.ENGINE.start = lambda: None; app.Convoy.inner(); "
    tell = "import sys; print(sys.getswitchinterval())"
    done = subprocess.run([sys.executable, "-c", begin + tell], capture_output=True, text=True, check=True, cwd=ROOT)
    assert float(done.stdout.split()[-1]) == pytest.approx(INTERPRETER_SECONDS)
