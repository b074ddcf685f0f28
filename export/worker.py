"""One artefact in a process of its own, timed on command: `python -m export.worker`.

Runtimes share thread pools and memory within a process, and one of them cannot change its number of threads once it
has run. Speaks JSON lines: the order on standard input, then {"batch", "seconds"}; answers on standard output.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np


def main() -> None:
    """Load what the first line says, answer every further one."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    order = json.loads(sys.stdin.readline())
    start = time.perf_counter()
    run, picture = _load(order)
    loaded = time.perf_counter()
    memory = getattr(run, "memory_mb", _peak_memory)
    run(picture[np.newaxis])
    _say(answers, load_s=loaded - start, first_s=time.perf_counter() - loaded, memory_mb=memory())
    for line in sys.stdin:
        command = json.loads(line)
        batch = np.repeat(picture[np.newaxis], command["batch"], axis=0)
        _say(answers, times=repeat(partial(run, batch), command["seconds"]), memory_mb=memory())


def _load(order: dict[str, Any]) -> tuple[Callable[[Any], object], Any]:
    from bundle.manifest import Artefact
    from export.runners import open_artefact, prepare

    artefact = Artefact.model_validate(order["artefact"])
    prepare(artefact, order["threads"])
    picture = np.load(order["picture"], allow_pickle=False)
    return open_artefact(Path(order["root"]), artefact, order["threads"]), picture


def repeat(work: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of every run; at least three."""
    found: list[float] = []
    until = time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < until:
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found


def _say(answers: IO[str], **values: object) -> None:
    answers.write(json.dumps(values) + "\n")


def _peak_memory() -> float:
    """The most this process ever had, in MB.

    Not `ru_maxrss` where the system knows better: that starts with what the parent had when it started this process.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
