"""HAProxy with the project's own configuration, and what it says."""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from scripts.rolling.journal import Change, Exchange, read_change, read_exchange
from scripts.rolling.waiting import until

CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
SERVERS = ("one", "two")


class Balancer:
    """A running HAProxy in front of two local ports.

    With `keep_alive` it keeps connections to the replicas, else it makes one for each request.
    It writes into a file, from which everything is read: a pipe that is not emptied in time would lose lines.
    """

    def __init__(self, port: int, replicas: tuple[int, int], log: Path, *, keep_alive: bool = False) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._folder = tempfile.mkdtemp()
        self._socket = Path(self._folder) / "haproxy"
        self._offset = 0
        self._exchanges: list[Exchange] = []
        self._changes: list[Change] = []
        self._addresses = {"CONVOY_BIND": f"127.0.0.1:{port}"}
        for name, replica in zip(SERVERS, replicas, strict=True):
            self._addresses[f"CONVOY_{name.upper()}"] = f"127.0.0.1:{replica}"
        if keep_alive:
            self._addresses["CONVOY_KEEP_ALIVE"] = "1"

    def __enter__(self) -> Balancer:
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        own = f"global\n    stats socket {self._socket} mode 600 level user\n"
        (self.log.parent / "socket.cfg").write_text(own, encoding="utf-8")
        command = [program, "-db", "-f", str(self.log.parent / "socket.cfg"), "-f", str(CONFIGURATION)]
        with self.log.open("wb") as output:
            environment = {**os.environ, **self._addresses}
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)

    def exchanges(self) -> list[Exchange]:
        """Every request that has been answered so far."""
        self._read()
        return list(self._exchanges)

    def changes(self, server: str) -> list[Change]:
        """Every time that `server` was taken out or back in."""
        self._read()
        return [change for change in self._changes if change.server == server]

    def open_requests(self, server: str) -> int:
        """How many `server` has at this moment; `FRONTEND`: that came from clients."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self._socket))
            asking.sendall(b"show stat\n")
            answer = b"".join(iter(lambda: asking.recv(65536), b"")).decode()
        rows = csv.DictReader(answer.removeprefix("# ").splitlines())
        return next(int(row["scur"]) for row in rows if row["svname"] == server)

    def wait_until_idle(self, seconds: float = 10) -> None:
        """Wait until every request has its line in the log: a client has its answer a moment before.

        Raises: TimeoutError.
        """
        until(lambda: self.open_requests("FRONTEND") == 0, "the balancer's last connections to end", seconds)

    def _read(self) -> None:
        """What was written since the last time, whole lines only."""
        with self.log.open("rb") as log:
            log.seek(self._offset)
            written, _, _ = log.read().rpartition(b"\n")
        self._offset += len(written) + (1 if written else 0)
        for line in written.decode("utf-8", "replace").split("\n"):
            if exchange := read_exchange(line):
                self._exchanges.append(exchange)
            elif change := read_change(line):
                self._changes.append(change)

    def wait_for(self, server: str, *, up: bool, after: int, seconds: float = 60) -> float:
        """Wait until the balancer says so again, beyond the first `after` changes; how long it took.

        Raises: TimeoutError; RuntimeError when HAProxy has ended.
        """
        started = time.monotonic()

        def said() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError(f"haproxy ended with {self._process.returncode}: {self.log.read_text()[-2000:]}")
            return any(change.up is up for change in self.changes(server)[after:])

        until(said, f"the balancer to call {server} {'UP' if up else 'DOWN'}", seconds)
        return time.monotonic() - started
