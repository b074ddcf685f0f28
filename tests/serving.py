"""A real BentoML server in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    with server(command, log, port, {"CONVOY_DRAIN": "0", **run.environment(bundle), **settings}) as running:
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
