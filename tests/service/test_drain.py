from __future__ import annotations

import asyncio
import os
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from service.drain import drain_on_sigterm
from service.errors import NotReady


class House:
    """An engine whose metrics are behind a lock that nobody takes twice, as prometheus_client's are."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.draining = self.locked_out = False
        self.drained = asyncio.Event()
        self.settings = SimpleNamespace(drain=0.0)

    def ready(self) -> None:
        if self.draining:
            raise NotReady("draining")

    def drain(self) -> None:
        if self.lock.acquire(blocking=False):
            self.lock.release()
        else:
            self.locked_out = True
        self.draining = True
        self.drained.set()


@pytest.fixture
def stopped():
    """The signals that the server's own handler got."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


def test_a_signal_in_the_middle_of_counting_waits_for_its_end(stopped: list[int]) -> None:
    async def scenario() -> House:
        house: Any = House()
        assert drain_on_sigterm(house)
        with house.lock:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not house.draining  # the handler has run here, in between
        await asyncio.wait_for(house.drained.wait(), 10)
        while not stopped:
            await asyncio.sleep(0)
        return house

    assert not asyncio.run(scenario()).locked_out
    assert stopped == [signal.SIGTERM]
