"""Replicas behind a balancer, with clients that ask all the time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.rolling.balancer import Balancer
from scripts.rolling.clients import Clients
from scripts.rolling.replicas import Replica
from scripts.rolling.waiting import until

QUIET_REQUESTS = 200
"""Answered before and after whatever happens."""


@dataclass(frozen=True)
class Stage:
    """What the phases happen on."""

    replicas: Sequence[Replica]
    balancer: Balancer
    clients: Clients

    def let_pass(self, requests: int = QUIET_REQUESTS) -> None:
        """Wait until so many more have been answered. Raises: TimeoutError, RuntimeError when locust ended."""
        before = len(self.balancer.exchanges())

        def passed() -> bool:
            self.clients.check()
            return len(self.balancer.exchanges()) >= before + requests

        until(passed, f"{requests} answers", 120)

    def bring_back(self, replica: Replica) -> tuple[float, float]:
        """Start it; seconds until it was ready, and until the balancer had seen that."""
        seen = len(self.balancer.changes(replica.name))
        started = time.monotonic()
        replica.start()
        ready = replica.wait_until_ready()
        self.balancer.wait_for(replica.name, up=True, after=seen)
        return ready, time.monotonic() - started
