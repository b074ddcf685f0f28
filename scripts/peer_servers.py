"""The servers that are compared: what starts them, how they are asked, and what ends them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from bundle.cores import available_cores
from scripts.peer_environments import PEERS, ROOT, last_line
from service import run
from tests.serving import free_port

READY_SECONDS = 120
BUSY_CORES = 0.01
"""An idle server that takes more than this much of one core is paused while others are measured."""


@dataclass(frozen=True)
class Contender:
    """One server. `command` follows the environment's python; {port} and {cores} are filled in.

    form: the multipart field of the picture; None sends it as the request's body. has: processes and threads, for the
    reader of the figures. idiom: as the framework's documentation begins, rather than tuned.
    """

    name: str
    framework: str
    command: tuple[str, ...]
    form: str | None
    has: str
    idiom: bool


def _bento(target: str) -> tuple[str, ...]:
    return ("-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", "{port}")


def _uvicorn(target: str, *options: str) -> tuple[str, ...]:
    return ("-m", "uvicorn", target, "--workers", "{cores}", "--port", "{port}", *options)


PEERS_BY_NAME = {
    contender.name: contender
    for contender in (
        Contender(
            "bentoml",
            "bentoml",
            _bento("plain:Plain"),
            "image",
            "1 worker, onnxruntime's own threads (every core)",
            True,
        ),
        Contender(
            "bentoml-workers",
            "bentoml",
            _bento("workers:Workers"),
            None,
            "a worker per core, 1 onnxruntime thread each, raw body",
            False,
        ),
        Contender(
            "bentoml-threads",
            "bentoml",
            _bento("threads:Threads"),
            None,
            "1 worker with a thread per core, 1 onnxruntime thread each, raw body",
            False,
        ),
        Contender(
            "bentoml-batchable",
            "bentoml",
            _bento("batchable:Batchable"),
            "images",
            "batchable=True: 1 worker, onnxruntime's own threads (every core)",
            True,
        ),
        Contender(
            "litserve",
            "litserve",
            ("server.py", "{port}", "plain"),
            "image",
            "1 worker, onnxruntime's own threads (every core)",
            True,
        ),
        Contender(
            "litserve-workers",
            "litserve",
            ("server.py", "{port}", "workers"),
            "image",
            "a worker per core, 1 onnxruntime thread each, fast_queue",
            False,
        ),
        Contender(
            "litserve-batches",
            "litserve",
            ("server.py", "{port}", "batches"),
            "image",
            "the same with batches of up to 8, gathered for 10 ms",
            False,
        ),
        Contender(
            "fastapi",
            "fastapi",
            _uvicorn("form:app"),
            "image",
            "uvicorn with a worker per core, 1 onnxruntime thread a call, form, thread pool",
            True,
        ),
        Contender(
            "fastapi-body",
            "fastapi",
            _uvicorn("body:app", "--no-access-log"),
            None,
            "uvicorn with a worker per core, 1 onnxruntime thread, raw body, in the event loop",
            False,
        ),
    )
}
OURS = "convoy"


def _ours(name: str, serves: str) -> Contender:
    command = ("-m", "convoy.main", "serve", "{bundle}", "--port", "{port}")
    has = (
        "1 process with a thread per core and one more for fast networks, 1 onnxruntime thread a call, "
        "every core for a lone one, raw body"
    )
    return Contender(name, OURS, command, None, f"its defaults, {serves}: {has}", True)


CONVOY = {
    "fp32": _ours(OURS, "but the fp32 file as for the peers"),
    "default": _ours(f"{OURS}-auto", "so the fastest file that passed its gates"),
}
"""This service, by what it is to serve."""


class NotStarted(Exception):
    """Why, from the server's log."""


@dataclass
class Server:
    """A contender on a port of its own, up or down."""

    contender: Contender
    python: Path
    bundle: Path
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    paused: bool = False
    _process: subprocess.Popen[bytes] | None = None
    _seen: set[psutil.Process] = field(default_factory=set)
    """Whatever was below the first process at some time: it may be left when that one dies."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def up(self) -> bool:
        """Whether its first process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, picture: bytes) -> None:
        """Wait until `picture` is answered with 200. Raises: NotStarted."""
        self.stop()
        self.port = free_port()
        values = {"port": self.port, "cores": available_cores(), "bundle": self.bundle.resolve()}
        command = [str(self.python), *(part.format(**values) for part in self.contender.command)]
        home = ROOT if self.contender.framework == OURS else PEERS / self.contender.framework
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=self._environment(), cwd=home, start_new_session=True
            )
        until = time.monotonic() + READY_SECONDS
        while not self._answers(picture):
            if not self.up or time.monotonic() > until:
                reason = last_line(self.log.read_text(errors="replace"))
                self.stop()
                raise NotStarted(f"{self.contender.name}: {reason[:300]}")
            time.sleep(0.1)

    def _environment(self) -> dict[str, str]:
        if self.contender.framework == OURS:
            return {**run.environment(self.bundle), "CONVOY_DRAIN": "0", **self.settings}
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("CONVOY_", "PYTHON"))}
        return {**outside, "PYTHONPATH": str(PEERS), "PYTHONDONTWRITEBYTECODE": "1", **self._peer_settings()}

    def _peer_settings(self) -> dict[str, str]:
        return {"PEERS_CORES": str(available_cores()), **self.settings}

    def _answers(self, picture: bytes) -> bool:
        try:
            return httpx.Client(timeout=READY_SECONDS).send(self.request(picture)).status_code == 200
        except httpx.TransportError:
            return False

    def request(self, picture: bytes) -> httpx.Request:
        """`picture` as this server's users send it."""
        url = f"{self.url}/predict"
        if self.contender.form is None:
            return httpx.Request("POST", url, content=picture, headers={"Content-Type": media_type(picture)})
        return httpx.Request("POST", url, files={self.contender.form: ("picture", picture, media_type(picture))})

    def processes(self) -> list[psutil.Process]:
        """The first process and all below it."""
        if not self.up or self._process is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._process.pid)
            found = [first, *first.children(recursive=True)]
            self._seen.update(found)
            return found
        return []

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                used = process.cpu_times()
                total += used.user + used.system
        return total

    def pause(self) -> None:
        """Take the processor from it, as Ctrl-Z does, until `resume`."""
        self._signal_all(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal_all(signal.SIGCONT)
        self.paused = False

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def stop(self) -> None:
        """End it with everything below it: politely, then by force, each process by its own id."""
        if self._process is None:
            return
        if self.paused:
            self.resume()
        self.processes()
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        _, left = psutil.wait_procs(self._seen, timeout=3)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)
        self._process.wait()
        self._process = None
        self._seen.clear()


def media_type(picture: bytes) -> str:
    """By the file's first bytes, as an uploading program would say it by its name."""
    kinds = {b"\x89PNG": "image/png", b"RIFF": "image/webp"}
    return kinds.get(picture[:4], "image/jpeg")


def idle_cores(servers: list[Server], seconds: float) -> dict[str, float]:
    """How much of one core each takes while nobody asks it anything."""
    before = {server.contender.name: server.cpu_seconds() for server in servers}
    time.sleep(seconds)
    return {
        server.contender.name: round((server.cpu_seconds() - before[server.contender.name]) / seconds, 4)
        for server in servers
    }


OWN_PYTHON = Path(sys.executable)
