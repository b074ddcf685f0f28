"""One replica after the other ends and starts anew, as a rollout does it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scripts.rolling.journal import Exchange, failures, spell
from scripts.rolling.replicas import Replica
from scripts.rolling.stage import Stage


@dataclass
class Restart:
    """One replica's end and its return; seconds.

    unready: from the end's begin until the balancer sent it nothing more. gone: until its process had ended. ready:
    from the new start until /readyz said yes. back: until the balancer had seen that. answered: requests that it
    answered after SIGTERM.
    """

    round: int
    server: str
    unready: float
    gone: float
    ready: float
    back: float
    answered: int = 0


def roll(stage: Stage, rounds: int, pre_stop: float, *, abruptly: bool = False) -> dict[str, Any]:
    """Restart one replica after the other, so often; with `abruptly` by SIGKILL, which must lose requests.

    Raises: TimeoutError when a replica outlives the grace period.
    """
    stage.let_pass()
    began, restarts = time.time(), []
    for number in range(1, rounds + 1):
        for replica in stage.replicas:
            restarts.append(_restart(stage, number, replica, pre_stop, abruptly=abruptly))
            stage.let_pass()
    row = totals(stage.balancer.exchanges(), began, time.time())
    failed = len(stage.clients.failures())
    restarted = [vars(each) for each in restarts]
    return {"rounds": rounds, "pre_stop_s": pre_stop, "failed": failed, **row, "restarts": restarted}


def _restart(stage: Stage, number: int, replica: Replica, pre_stop: float, *, abruptly: bool) -> Restart:
    if pre_stop and not abruptly:
        replica.pre_stop(pre_stop)
    told, started = time.time(), time.monotonic()
    (replica.kill if abruptly else replica.terminate)()
    replica.wait_until_gone()
    gone = time.monotonic() - started
    ended = time.time()
    ready, back = stage.bring_back(replica)
    after = [each for each in stage.balancer.exchanges() if each.in_flight(replica.name, told, ended)]
    last = max((each.sent or 0.0 for each in after), default=told)
    return Restart(number, replica.name, max(0.0, last - told), gone, ready, back, sum(not e.failed for e in after))


def totals(exchanges: Sequence[Exchange], since: float, before: float) -> dict[str, Any]:
    """The requests of that time."""
    ran = spell(exchanges, since, before)
    return {
        "requests": len(ran),
        "failed_by_the_balancer": len(failures(ran)),
        "refused_connections_retried": sum(each.retries > 0 for each in ran),
        "max_ms": round(1000 * max((each.seconds for each in ran), default=0.0)),
    }
