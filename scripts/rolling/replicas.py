"""One replica of the service as a kubelet treats it: started, asked to end, killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import httpx
import psutil

from scripts.rolling.waiting import until
from service import run

READY_SECONDS = 180.0
"""As the startup probe of deploy/base allows."""

WORKERS = ("_bentoml_impl.worker.service", "service.container")
"""Modules that answer requests, below BentoML's supervisor and as a container's only process."""

GRACE_SECONDS = 34.0
"""terminationGracePeriodSeconds of deploy/base: then a kubelet kills."""


class Replica(ABC):
    """A named address at which the service can be started anew, as often as needed."""

    kind: str

    def __init__(self, name: str, port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self.log = log
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Replica:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.remove()

    @abstractmethod
    def start(self) -> None:
        """Begin to start, as new; the one before must be gone."""

    @abstractmethod
    def pre_stop(self, seconds: float) -> None:
        """What `preStop: exec: [sleep, SECONDS]` does; returns when it is over."""

    def terminate(self) -> None:
        """SIGTERM to the first process, and to no other."""
        self.first_process().send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to every process; nothing when there is none."""
        # A container's kernel does it by itself. Elsewhere the workers lead groups of their own and would outlive the
        # first process; it goes first, or it would replace them.
        with suppress(psutil.NoSuchProcess):
            first = self.first_process()
            for process in [first, *first.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def running(self) -> bool:
        """Whether the first process is there."""
        try:
            return bool(self.first_process().status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    @abstractmethod
    def remove(self) -> None:
        """Leave nothing behind; may be called at any time, and twice."""

    @abstractmethod
    def first_process(self) -> psutil.Process:
        """As this machine sees it. Raises: psutil.NoSuchProcess."""

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests: those below a supervisor, or the first one itself."""
        try:
            first = self.first_process()
            return [child for child in [first, *first.children(recursive=True)] if _is_worker(child)]
        except psutil.NoSuchProcess:
            return []

    def ready(self) -> bool:
        """What a probe on a connection of its own finds."""
        return probe(self.url) == 200

    def wait_until_ready(self) -> float:
        """How long it took. Raises: RuntimeError when the service ended, TimeoutError."""
        started = time.monotonic()

        def answers() -> bool:
            if not self.running():
                raise RuntimeError(f"{self.name} ended before it was ready: {self.log}")
            return self.ready()

        until(answers, f"{self.name} to be ready", READY_SECONDS)
        return time.monotonic() - started

    def wait_until_gone(self) -> float:
        """How long it took. Raises: TimeoutError once a kubelet would kill."""
        started = time.monotonic()
        until(lambda: not self.running(), f"{self.name} to end by itself", GRACE_SECONDS)
        return time.monotonic() - started


def probe(url: str, seconds: float = 1) -> int:
    """The status of /readyz; 0 when there was no answer in time."""
    try:
        return httpx.get(f"{url}/readyz", timeout=seconds, headers={"Connection": "close"}).status_code
    except httpx.TransportError:
        return 0


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any(part in WORKERS for part in process.cmdline())
    except psutil.Error:
        return False


class ProcessReplica(Replica):
    """`convoy serve BUNDLE` on this machine."""

    kind = "process"

    def __init__(self, name: str, port: int, bundle: Path, folder: Path, settings: dict[str, str]) -> None:
        super().__init__(name, port, folder / f"{name}.log")
        self._command = [sys.executable, "-m", "convoy.main", "serve", str(bundle), "--port", str(port)]
        self._environment = {**run.environment(bundle), **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            # A session of its own: a Ctrl-C on the terminal is for the script, which ends everything in order.
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, cwd=run.ROOT, start_new_session=True
            )

    def pre_stop(self, seconds: float) -> None:
        subprocess.run(["sleep", str(seconds)], check=True)

    def remove(self) -> None:
        self.kill()
        if self._process is not None:
            self._process.wait()

    def first_process(self) -> psutil.Process:
        if self._process is None or self._process.poll() is not None:
            raise psutil.NoSuchProcess(self._process.pid if self._process else -1, self.name)
        return psutil.Process(self._process.pid)
