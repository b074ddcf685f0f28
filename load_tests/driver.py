"""The locust user that sends: one in every generator process, with as many greenlets as the load needs.

In the open loop the moment of each request is decided beforehand (`load_tests.arrivals`) and its latency counts from
that moment, so a service that stalls is charged for all who would have come meanwhile. (locust's own
`constant_throughput` is no open loop: a user who waits for an answer sends nothing.) In the closed loop each client
waits for its answer and asks again at once.
"""

from __future__ import annotations

import math
import random
import time
from itertools import accumulate, count
from typing import Any

import gevent
from gevent.pool import Group
from gevent.queue import Queue
from locust import User, task
from locust.env import Environment

from load_tests.arrivals import schedule_of
from load_tests.connections import Connections, Failed
from load_tests.outcome import Case, judge
from load_tests.phase import NOT_SENT, OK, REFUSED, UNREACHED, Phase, Recording
from load_tests.target import Target

REPORT_SECONDS = 1.0
"""Between two messages with what was counted."""


class Plan:
    """What this process sends, and to whom: `requests[i]` are the bytes of `cases[i]`."""

    def __init__(self, url: str, cases: list[Case]) -> None:
        self.target = Target(url)
        self.cases = cases
        self.requests = [self.target.request("POST", case.path, case.headers, case.body) for case in cases]
        self.weights = list(accumulate(case.weight for case in cases))

    def draw(self, generator: random.Random) -> int:
        """The number of a case."""
        return generator.choices(range(len(self.cases)), cum_weights=self.weights)[0]


class Recorder:
    """Listens to locust's request event and counts what is not of the past phase."""

    def __init__(self, environment: Environment) -> None:
        self.recording = Recording()
        self.phase = Phase("", "closed", 1, 1)
        environment.events.request.add_listener(self.count)  # type: ignore[no-untyped-call]

    def count(self, name: str, response_time: float, exception: Any, context: dict[str, Any], **_: Any) -> None:
        """`response_time`: milliseconds from the intended start. `context`: outcome; due, lag: seconds in the phase;
        number: of the case."""
        outcome, due, lag = context["outcome"], context["due"], context["lag"]
        seconds = response_time / 1000
        cell = self.recording.cell(self.phase.point(due), name)
        cell.outcomes[outcome] += 1
        if outcome != NOT_SENT:
            cell.lag.add(lag)
        if outcome not in (NOT_SENT, UNREACHED):
            self.recording.sent.add(context["number"])
        if outcome == OK:
            cell.good.add(seconds)
            cell.service.add(seconds - lag)
            self.recording.finished[self.phase.point(due + seconds)] += 1
        else:
            self.recording.example(outcome, str(exception))
        if outcome == REFUSED:
            cell.refused.add(seconds - lag)

    def flush(self) -> dict[str, Any]:
        """What was counted since the last time."""
        recording, self.recording = self.recording, Recording()
        return recording.packed()


class Driver(User):
    """Waits for a phase, runs it, says what it cost."""

    inbox: Queue = Queue()
    plan: Plan | None = None

    def on_start(self) -> None:
        assert self.plan is not None, "the plan comes before the first user"
        self.recorder = Recorder(self.environment)
        self.connections = Connections(self.plan.target)

    @task
    def work(self) -> None:
        """One phase."""
        message = self.inbox.get()
        self.part, self.parts = message["part"], message["parts"]
        self.phase = self.recorder.phase = Phase(**message["phase"])
        self.random = self._draws(self.phase.seed)
        self._serials, self._next_due = count(), math.inf
        self._open_since: dict[int, float] = {}
        self._cpu, self._began = time.process_time(), time.perf_counter()
        reporter = gevent.spawn(self._report)
        (self._open if self.phase.mode == "open" else self._closed)()
        reporter.kill()
        self._tell("done")

    def _open(self) -> None:
        phase, running, ended = self.phase, Group(), False
        most = max(1, phase.outstanding // self.parts)
        for due in schedule_of(phase, self.part, self.parts):
            if due >= phase.seconds and not ended:
                ended, self.random = True, self._draws(phase.after_seed)
            number, self._next_due = self._draw(), due
            # Also where it is late already: the answers that have come must be read.
            gevent.sleep(max(0.0, due - self._elapsed()))
            if len(running) >= most:
                self._fire(number, NOT_SENT, due, self._elapsed(), f"{phase.outstanding} requests were open already")
            else:
                running.add(gevent.spawn(self._one, due, number, self._opened(due)))
        self._next_due = math.inf
        gevent.sleep(max(0.0, phase.length - self._elapsed()))
        running.join()

    def _closed(self) -> None:
        phase, parts = self.phase, self.parts
        clients = range(self.part, int(max(phase.load, phase.after_load)), parts)
        gevent.joinall([gevent.spawn(self._client, *self._shift(number)) for number in clients])

    def _draws(self, seed: int) -> random.Random:
        """What decides which requests this process sends."""
        return random.Random(seed * 1013 + self.part)

    def _draw(self) -> int:
        assert self.plan is not None
        return self.plan.draw(self.random)

    def _shift(self, number: int) -> tuple[float, float]:
        """From when to when a client of the closed loop asks."""
        phase = self.phase
        begin = 0.0 if number < phase.load else phase.seconds
        return begin, phase.length if number < phase.after_load else phase.seconds

    def _client(self, begin: float, end: float) -> None:
        gevent.sleep(begin)
        while (now := self._elapsed()) < end:
            if not self._one(now, self._draw(), self._opened(now)):
                gevent.sleep(0.05)

    def _opened(self, due: float) -> int:
        """The serial number of a request that nothing has become of yet."""
        serial = next(self._serials)
        self._open_since[serial] = due
        return serial

    def _one(self, due: float, number: int, serial: int) -> bool:
        """The request of that number, due so many seconds after the start; False when nobody was reached."""
        assert self.plan is not None
        case = self.plan.cases[number]
        sent = self._elapsed()
        try:
            reply = self.connections.ask(self.plan.requests[number], self.phase.timeout)
        except Failed as error:
            self._fire(number, error.outcome, due, sent, str(error))
            return False
        finally:
            del self._open_since[serial]
        came = self._elapsed()
        outcome, text = judge(case, reply)
        self._fire(number, outcome, due, sent, text, came, len(reply.body))
        return True

    def _fire(
        self, number: int, outcome: str, due: float, sent: float, text: str, came: float | None = None, length: int = 0
    ) -> None:
        assert self.plan is not None
        took = (self._elapsed() if came is None else came) - due
        self.environment.events.request.fire(
            request_type="POST",
            name="" if outcome == NOT_SENT else self.plan.cases[number].kind,
            response_time=1000 * took,
            response_length=length,
            exception=None if outcome == OK else RuntimeError(text),
            context={"outcome": outcome, "due": due, "lag": max(0.0, sent - due), "number": number},
        )

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began

    def _report(self) -> None:
        while True:
            gevent.sleep(REPORT_SECONDS)
            self._tell("recorded")

    def _tell(self, kind: str) -> None:
        """What has come since the last time, and until when that is complete."""
        until = min([self._elapsed(), self._next_due, *self._open_since.values()])
        told = {"until": until, "unanswered": len(self._open_since), "cpu": time.process_time() - self._cpu}
        self._send(kind, {"recording": self.recorder.flush(), **told})

    def _send(self, kind: str, data: dict[str, Any]) -> None:
        assert self.environment.runner is not None
        self.environment.runner.send_message(kind, data)
