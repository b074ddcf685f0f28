"""Time on a machine that others use too: everything that is compared runs in turn, round after round."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from bundle.manifest import Artefact
from export import child
from export.errors import WorkerDied

ROUNDS = 7
SECONDS = 0.15
"""Of each contender in each round."""


class Contender:
    """An artefact in a process of its own (`export.worker`), ready to be timed.

    picture: a .npy of uint8 [H, W, 3]. `load_s`: seconds to load the file, `first_s`: of the first answer.
    Raises: WorkerDied.
    """

    def __init__(self, root: Path, artefact: Artefact, picture: Path, threads: int) -> None:
        self.target = artefact.target
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            child.command("export.worker"),
            env=child.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            bufsize=1,
        )
        order = {
            "root": str(root.absolute()),
            "artefact": artefact.model_dump(mode="json"),
            "picture": str(picture.absolute()),
            "threads": threads,
        }
        try:
            ready = self._ask(order)
        except BaseException:
            self.close()
            raise
        self.load_s: float = ready["load_s"]
        self.first_s: float = ready["first_s"]
        self.memory_mb: float = ready["memory_mb"]

    def time(self, batch: int = 1, seconds: float = SECONDS) -> list[float]:
        """Seconds of every run of a batch, for about `seconds`, at least three runs."""
        answer = self._ask({"batch": batch, "seconds": seconds})
        self.memory_mb = answer["memory_mb"]
        times: list[float] = answer["times"]
        return times

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._log.seek(0)
            raise WorkerDied(self.target, self._log.read())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def in_turn(
    contenders: Mapping[str, Contender], batch: int = 1, rounds: int = ROUNDS, seconds: float = SECONDS
) -> dict[str, list[float]]:
    """Seconds of every run by contender; a first round warms up and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, contender in contenders.items():
            found = contender.time(batch, seconds)
            if turn:
                times[name] += found
    return times


def speed_up(fast: tuple[Path, Artefact], slow: tuple[Path, Artefact], picture: Path, threads: int = 1) -> float:
    """Median time of `slow` (folder, artefact) over that of `fast`, one picture at a time. Raises: WorkerDied."""
    with ExitStack() as stack:
        pair = {
            name: stack.enter_context(Contender(root, artefact, picture, threads))
            for name, (root, artefact) in (("fast", fast), ("slow", slow))
        }
        times = in_turn(pair)
    return float(np.median(times["slow"]) / np.median(times["fast"]))
