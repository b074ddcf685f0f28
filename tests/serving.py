"""A real BentoML server in a process of its own."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from service import run


@dataclass
class Server:
    """A running server and where its log goes."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


FIRST_PORT, PORTS = 20_000, 2_000
"""Below those that the system gives to clients, which take a free one between the look and the server's start."""

_numbers = itertools.count()


def free_port() -> int:
    """A port that nobody else is given: each of pytest's workers has a range of its own, and goes through it."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = FIRST_PORT + PORTS * (worker % 6) + (os.getpid() + next(_numbers)) % PORTS
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def server(command: list[str], log: Path, port: int, env: dict[str, str], cwd: Path | None = None) -> Iterator[Server]:
    """Start `command`, wait until /readyz says yes, and end it with its children afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=env, cwd=cwd, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process, log)
        yield Server(url, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def bento_server(bundle: Path, log: Path, **settings: str) -> Iterator[Server]:
    """`convoy serve bundle` on a free port, with `CONVOY_…` settings."""
    port = free_port()
    command = [sys.executable, "-m", "convoy.main", "serve", str(bundle), "--port", str(port)]
    quick = {"CONVOY_DRAIN": "0", "BENTOML_HOME": str(log.parent / "bentoml")}
    with server(command, log, port, {**quick, **run.environment(bundle), **settings}) as running:
        yield running


@contextmanager
def patient_server(bundle: Path, log: Path, **settings: str) -> Iterator[Server]:
    """The same, where nobody is refused for a busy machine's pause."""
    with bento_server(bundle, log, **{"CONVOY_MAX_WAIT": "20", **settings}) as running:
        yield running


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}: {log.read_text()}")
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready after {seconds} s: {log.read_text()}")
