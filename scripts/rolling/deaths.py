"""SIGKILL for a whole replica, or for the process in it that answers; and what that cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from scripts.rolling.clients import Failure
from scripts.rolling.journal import Exchange
from scripts.rolling.replicas import Replica, probe
from scripts.rolling.stage import Stage
from scripts.rolling.waiting import until

RECOVERY_SECONDS = 3.0
"""Within which a balancer must have found out."""

CLOCK_SECONDS = 0.005
"""The balancer's times are whole milliseconds, each of them rounded."""

PROBE_SECONDS = 0.05


@dataclass
class Death:
    """What a SIGKILL cost; seconds after it.

    open_before: requests that the balancer had on the server just before. failed: all that failed. in_flight: those of
    them that had begun before its processes were gone. at_its_door: those that were sent to it afterwards, as a
    supervisor held its door open. unexplained: the others. last_failure: when the last one failed; last_sent: when the
    balancer sent it the last request; noticed: when it called it down; ready: when /readyz said yes again, after the
    new start; back: when the balancer had seen that.
    """

    server: str
    open_before: int
    failed: int
    in_flight: int
    at_its_door: int
    unexplained: int
    last_failure: float
    last_sent: float
    noticed: float
    ready: float
    back: float

    @property
    def recovered(self) -> bool:
        """Whether nothing failed that was not on that server, and the balancer left it alone in time."""
        return not self.unexplained and max(self.last_sent, self.noticed) <= RECOVERY_SECONDS


@dataclass(frozen=True)
class Blow:
    """A kill: the server, its open requests before, when it was sent, and when the processes were gone."""

    server: str
    open_before: int
    killed: float
    dead: float

    def cost(self, failed: Sequence[Failure], exchanges: Sequence[Exchange], ready: float) -> dict[str, Any]:
        """What `Death` says of requests; `ready`: when the server was so again.

        A dying process closes its sockets last: what began before `dead` may have been on it.
        """
        since, until_dead = self.killed - CLOCK_SECONDS, self.dead + CLOCK_SECONDS
        flying = [each for each in failed if each.began <= until_dead and each.ended >= since]
        later = [each for each in failed if each not in flying]
        to_it = [each for each in exchanges if each.server == self.server and each.sent and each.sent <= ready]
        refused = [each for each in to_it if each.failed and each.sent and each.sent > until_dead]
        waiting = _paired(later, refused)
        return {
            "server": self.server,
            "open_before": self.open_before,
            "failed": len(failed),
            "in_flight": len(flying),
            "at_its_door": waiting,
            "unexplained": len(later) - waiting,
            "last_failure": max((each.ended - self.killed for each in failed), default=0.0),
            "last_sent": max(0.0, max((each.sent or 0.0 for each in to_it), default=0.0) - self.killed),
        }


def _paired(failed: Sequence[Failure], exchanges: Sequence[Exchange]) -> int:
    """How many of the clients' failures lie around an exchange of the balancer's, each of which explains one."""
    left, pairs = sorted(exchanges, key=lambda each: each.ended), 0
    for failure in sorted(failed, key=lambda each: each.ended):
        for each in left:
            if failure.began - CLOCK_SECONDS <= each.began and each.ended <= failure.ended + CLOCK_SECONDS:
                left.remove(each)
                pairs += 1
                break
    return pairs


def kill(stage: Stage, replica: Replica) -> Death:
    """SIGKILL a whole replica, and start it again once the balancer does without it."""
    stage.let_pass()
    seen = len(stage.balancer.changes(replica.name))
    busy = stage.balancer.open_requests(replica.name)
    workers = replica.workers()
    killed, started = time.time(), time.monotonic()
    replica.kill()
    for worker in workers:
        _wait_for_end(worker)
    replica.wait_until_gone()
    blow = Blow(replica.name, busy, killed, time.time())
    stage.balancer.wait_for(replica.name, up=False, after=seen)
    noticed = time.monotonic() - started
    stage.let_pass()
    anew = time.time()
    ready, back = stage.bring_back(replica)
    stage.let_pass()
    cost = blow.cost(stage.clients.failures(), stage.balancer.exchanges(), anew)
    return Death(noticed=noticed, ready=ready, back=back, **cost)


@dataclass
class Probes:
    """What /readyz said, asked twenty times a second, each time on a new connection as a kubelet does."""

    url: str
    answers: list[tuple[float, float, int]] = field(default_factory=list)
    """(asked, answered, status or 0) since the epoch."""

    @contextmanager
    def running(self) -> Iterator[Probes]:
        ended = threading.Event()

        def ask() -> None:
            while not ended.wait(PROBE_SECONDS):
                asked, status = time.time(), probe(self.url)
                self.answers.append((asked, time.time(), status))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()


def kill_worker(stage: Stage, replica: Replica) -> tuple[Death, dict[str, Any]]:
    """SIGKILL the process that answers, and leave the rest to the replica itself.

    The second part: `ready_without_worker`, probes answered with 200 between its death and its successor's birth;
    `restarted`, whether the replica ended and a kubelet had to start it; `workers` afterwards.
    """
    stage.let_pass()
    seen = len(stage.balancer.changes(replica.name))
    (worker,) = replica.workers()
    probes = Probes(replica.url)
    with probes.running():
        busy = stage.balancer.open_requests(replica.name)
        killed, started = time.time(), time.monotonic()
        worker.kill()
        _wait_for_end(worker)
        blow = Blow(replica.name, busy, killed, time.time())
        stage.balancer.wait_for(replica.name, up=False, after=seen)
        noticed = time.monotonic() - started
        seen += 1
        restarted = _revive(replica, worker.pid)
        born = time.time()
        replica.wait_until_ready()
        anew, ready = time.time(), time.monotonic() - started
        stage.balancer.wait_for(replica.name, up=True, after=seen)
        back = time.monotonic() - started
    stage.let_pass()
    cost = blow.cost(stage.clients.failures(), stage.balancer.exchanges(), anew)
    wrongly = sum(blow.dead < asked and answered < born and status == 200 for asked, answered, status in probes.answers)
    more = {"ready_without_worker": wrongly, "restarted": restarted, "workers": len(replica.workers())}
    return Death(noticed=noticed, ready=ready, back=back, **cost), more


def _revive(replica: Replica, dead: int) -> bool:
    """Wait for the next worker; True when the replica had ended and was started as a kubelet would."""

    def another() -> bool:
        return not replica.running() or any(child.pid != dead for child in replica.workers())

    until(another, f"{replica.name} to end or to have a worker again", 60)
    if replica.running():
        return False
    replica.start()
    until(lambda: bool(replica.workers()), f"{replica.name} to have a worker", 60)
    return True


def _wait_for_end(process: psutil.Process) -> None:
    """Until its last thread has let go of its sockets; the first one is a zombie before that."""

    def ended() -> bool:
        return not process.is_running() or (process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)

    until(_quietly(ended), f"process {process.pid} to end", 10)


def _quietly(asked: Callable[[], bool]) -> Callable[[], bool]:
    """A process that ends between two looks has ended."""

    def answer() -> bool:
        try:
            return asked()
        except psutil.NoSuchProcess:
            return True

    return answer
