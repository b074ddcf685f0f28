"""The load: locust's users, who check every answer against the bundle's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from service.run import ROOT

FAILURES = "CONVOY_ROLLING_FAILURES"
"""The environment variable that tells scripts/rolling/witness.py its file; to import that here would import gevent."""

LONGEST = "3600s"
"""No load outlives this, whatever happens to the script."""


@dataclass(frozen=True)
class Failure:
    """A request that failed, as its client saw it; seconds since the epoch."""

    began: float
    ended: float


@dataclass(frozen=True)
class Told:
    """What locust counted itself."""

    requests: int
    failures: int


def expected_answers(bundle: Path, images: Path, folder: Path) -> Path:
    """What the bundle says of the pictures outside any service, as locust's --expected reads it."""
    path = folder / "expected.jsonl"
    command = [sys.executable, "-m", "convoy.main", "predict", str(bundle), str(images), "--json"]
    with path.open("wb") as output:
        subprocess.run(command, stdout=output, cwd=ROOT, check=True)
    return path


class Clients:
    """`users` closed loops without a pause, from here to `stop`."""

    def __init__(self, url: str, images: Path, expected: Path, users: int, folder: Path) -> None:
        self._out, self._log, self._failures = (folder / name for name in ("locust.json", "locust.log", "failures"))
        self._failures.touch()
        files = "load_tests/locustfile.py,scripts/rolling/witness.py"
        locust = [sys.executable, "-m", "locust", "-f", files, "--headless", "--json"]
        load = ["-u", str(users), "-r", str(users), "-t", LONGEST, "--stop-timeout", "60", "--host", url]
        self._command = [*locust, *load, "--images", str(images.resolve()), "--expected", str(expected.resolve())]

    def __enter__(self) -> Clients:
        with self._out.open("wb") as out, self._log.open("wb") as log:
            environment = {**os.environ, FAILURES: str(self._failures.resolve())}
            self._process = subprocess.Popen(
                self._command, stdout=out, stderr=log, cwd=ROOT, env=environment, start_new_session=True
            )
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raises: RuntimeError when locust has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"locust ended with {self._process.returncode}: {self._log.read_text()[-2000:]}")

    def failures(self) -> list[Failure]:
        """Those that the clients have seen so far."""
        rows = (json.loads(line) for line in self._failures.read_text().splitlines())
        return [Failure(row["began"], row["ended"]) for row in rows]

    def stop(self) -> Told:
        """Let the running requests finish, and count. Raises: RuntimeError when locust broke."""
        self.check()
        self._process.terminate()
        if self._process.wait(90) not in (0, 1):
            raise RuntimeError(f"locust ended with {self._process.returncode}: {self._log.read_text()[-2000:]}")
        rows = json.loads(self._out.read_text())
        return Told(sum(row["num_requests"] for row in rows), sum(row["num_failures"] for row in rows))
