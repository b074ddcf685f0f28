"""The generator's processes: locust's workers, led by locust's master in this process.

Importing it patches the standard library for gevent, as locust does: not for processes that do something else.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
from locust.env import Environment
from locust.exception import RPCError
from zmq import ZMQError

from load_tests.driver import Driver
from load_tests.errors import GeneratorLost, OptionInvalid, Stopped
from load_tests.outcome import Case
from load_tests.phase import Phase, Recording

START_SECONDS = 60.0
MESSAGE_SECONDS = 60.0
"""Beyond the phase and its timeout: for the last message of a process whose core is busy."""

logging.getLogger("locust").setLevel(logging.CRITICAL)


@dataclass
class Finished:
    """What a phase gave. cpu: seconds of all processes that send. wall: seconds until the last answer.

    until: what was due before that second has become something; of what was due later, `unanswered` were being asked.
    """

    recording: Recording
    cpu: float
    wall: float
    until: float
    unanswered: int


class Fleet:
    """Starts `processes` of its own on this machine, or waits for `remote` ones on `bind`."""

    def __init__(self, url: str, cases: Sequence[Case], *, processes: int, remote: int, bind: tuple[str, int]) -> None:
        self._environment = Environment(user_classes=[Driver], host=url)
        self._size = remote or processes
        self._inbox: list[tuple[str, str, dict[str, Any]]] = []
        self._own: list[subprocess.Popen[bytes]] = []
        try:
            self._runner = self._environment.create_master_runner(*bind)
        except (SystemExit, OSError, RPCError, ZMQError) as error:
            reason = str(error).removeprefix("Socket bind failure: ")
            raise OptionInvalid("--bind", f"{bind[0]}:{bind[1]}", f"cannot listen there: {reason}") from error
        for kind in ("listening", "planned", "recorded", "done"):
            self._runner.register_message(kind, self._keep)
        try:
            if not remote:
                self._start(processes)
            self._gather({"url": url, "cases": [case.message() for case in cases]})
        except BaseException:
            self.close()
            raise

    def run(self, phase: Phase, meanwhile: Callable[[], None] = lambda: None) -> Finished:
        """One phase on all processes; `meanwhile` is called about once a second. Raises: GeneratorLost, Stopped."""
        self._inbox.clear()
        began = time.perf_counter()
        for part, client in enumerate(sorted(self._runner.clients.keys())):
            message = {"phase": phase.message(), "part": part, "parts": self._size}
            self._runner.send_message("phase", message, client)
        patience = phase.length + phase.timeout + MESSAGE_SECONDS
        watch = gevent.spawn(self._every_second, meanwhile)
        try:
            self._wait_for("done", "{count} of {size} processes ended their part", patience)
        except KeyboardInterrupt as error:
            raise Stopped(self._finished(began)) from error
        finally:
            watch.kill(block=False)
        return self._finished(began)

    def _finished(self, began: float) -> Finished:
        """What has come until now."""
        recording, last = Recording(), dict.fromkeys(self._runner.clients, (0.0, 0.0, 0))
        for kind, client, data in self._inbox:
            if kind in ("recorded", "done"):
                recording.merge(Recording.unpacked(data["recording"]))
                last[client] = data["cpu"], data["until"], data["unanswered"]
        return Finished(
            recording,
            cpu=sum(cpu for cpu, _, _ in last.values()),
            wall=time.perf_counter() - began,
            until=min((until for _, until, _ in last.values()), default=0.0),
            unanswered=sum(count for _, _, count in last.values()),
        )

    def close(self) -> None:
        """End the processes, those that were lent too."""
        self._runner.quit()
        for process in self._own:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, count: int) -> None:
        command = [sys.executable, "-m", "load_tests.worker", "--led", f"127.0.0.1:{self._runner.server.port}"]
        for _ in range(count):
            self._own.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    def _gather(self, plan: dict[str, Any]) -> None:
        # Not locust's own "ready": a worker says that before it has a listener for the plan.
        self._wait_for("listening", "{count} of {size} processes came")
        self._runner.send_message("plan", plan)
        self._wait_for("planned", "{count} of {size} processes took the pictures")
        # One user in every process; locust deals them out evenly.
        self._runner.start(self._size, spawn_rate=1000)

    def _keep(self, msg: Any, **_: Any) -> None:
        self._inbox.append((msg.type, msg.node_id, msg.data))

    def _count(self, kind: str) -> int:
        return sum(found == kind for found, _, _ in self._inbox)

    def _wait_for(self, kind: str, reason: str, seconds: float = START_SECONDS) -> None:
        """Until every process has said so."""
        until = time.monotonic() + seconds
        while (count := self._count(kind)) < self._size:
            if time.monotonic() > until:
                raise GeneratorLost(f"{reason.format(count=count, size=self._size)} within {seconds:g} s")
            ended = [process.returncode for process in self._own if process.poll() is not None]
            if ended:
                raise GeneratorLost(f"a process ended with {ended[0]}")
            if self._runner.clients.missing:
                raise GeneratorLost("a process does not answer any more")
            gevent.sleep(0.02)

    @staticmethod
    def _every_second(meanwhile: Callable[[], None]) -> None:
        while True:
            meanwhile()
            gevent.sleep(1)
