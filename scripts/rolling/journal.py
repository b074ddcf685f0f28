"""What the balancer wrote down: every request, and when it took a replica out and back in.

One line a request, as `log-format` of deploy/haproxy/haproxy.cfg makes it. The balancer is the witness and not the
clients: it knows which replica a request was on, and no client's own retry hides one from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

CHANGE = re.compile(r"Server \S+/(?P<server>\S+) is (?P<state>UP|DOWN)(?:, reason: (?P<reason>.*?), check duration)?")


@dataclass(frozen=True)
class Exchange:
    """One request and its answer; times are seconds since the epoch.

    sent: when its server had taken the connection; None when none did. ending: HAProxy's two letters for how the
    session ended, `--` for well. retries: how often another connection was tried.
    """

    began: float
    sent: float | None
    ended: float
    server: str
    status: int
    ending: str
    retries: int

    @property
    def seconds(self) -> float:
        """From the request's first byte to the answer's last."""
        return self.ended - self.began

    @property
    def failed(self) -> bool:
        """Whether the client got anything but a whole 200."""
        return self.status != 200 or self.ending != "--"

    def in_flight(self, server: str, since: float, until: float) -> bool:
        """Whether `server` had it at some moment of that time."""
        return self.server == server and self.sent is not None and self.sent <= until and self.ended >= since


@dataclass(frozen=True)
class Change:
    """A server left the balancer's list, or came back."""

    server: str
    up: bool
    reason: str


def read_exchange(line: str) -> Exchange | None:
    """None for a line that is no request's. Raises: KeyError, ValueError for one that lacks a field."""
    if not line.startswith("{"):
        return None
    row = json.loads(line)
    ended = row["ended_ms"] / 1000
    began = ended - row["active_ms"] / 1000
    waits = [row["read_ms"], row["queued_ms"], row["connect_ms"]]
    sent = None if min(waits) < 0 else began + sum(waits) / 1000
    ending, retries = row["ending"][:2], int(row["retries"].lstrip("+"))
    return Exchange(began, sent, ended, row["server"], row["status"], ending, retries)


def read_change(line: str) -> Change | None:
    """None for a line that tells of no change."""
    found = CHANGE.match(line)  # at its start only: each is said twice, once as a warning
    return Change(found["server"], found["state"] == "UP", found["reason"] or "") if found else None


def failures(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Those that failed, in the order of their ends."""
    return sorted((each for each in exchanges if each.failed), key=lambda each: each.ended)


def spell(exchanges: Iterable[Exchange], since: float, until: float) -> list[Exchange]:
    """Those that ran at some moment of that time."""
    return [each for each in exchanges if each.ended >= since and each.began <= until]
