"""Hands ended jobs back to the event loop, several at a time while others wait anyway.

Each time that the loop is woken it finds the cores' caches full of a network's weights: on two cores, waking it for
every answer of a fast model costs more than the work that it then does. While pictures are queued an answer may wait
for the next ones without a thread having less to do.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from service.job import Job
from service.model import ServedModel

LONGEST = 0.05
"""Seconds that an answer may wait for others."""
MOST = 16
"""Answers that are handed over together."""

Settle = Callable[[ServedModel, Job], None]


class Deliveries:
    """`settle` is called on the event loop, once for each job that was announced and has ended.

    An answer waits only while more jobs are `queued` for the threads, of which there are `threads` at least, than
    answers wait, so that one of those will end and take it along; only of models that are run where they are prepared;
    and never longer than LONGEST.
    """

    def __init__(self, settle: Settle, threads: int, queued: Callable[[], int]) -> None:
        self._settle, self._threads, self._queued = settle, threads, queued
        self._lock = threading.Lock()
        self._ended: deque[tuple[ServedModel, Job]] = deque()
        self._open = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def announce(self, job: Job) -> None:
        """On the event loop, before the job can end."""
        if job.loop is not self._loop:
            self._loop, self._alarm = job.loop, None
        with self._lock:
            self._open += 1
        self._set_alarm()

    @property
    def alone(self) -> bool:
        """Whether no more than one announced job has not ended. From any thread."""
        return self._open <= 1

    def end(self, model: ServedModel, job: Job) -> None:
        """From any thread. Raises: RuntimeError after the loop's end."""
        if job.loop is not self._loop:
            with self._lock:
                self._open -= 1
            job.loop.call_soon_threadsafe(self._settle, model, job)
            return
        with self._lock:
            self._open -= 1
            self._ended.append((model, job))
            waits = self._queued() > len(self._ended) and len(self._ended) < self._together(model)
        if not waits:
            job.loop.call_soon_threadsafe(self._deliver)

    def _together(self, model: ServedModel) -> int:
        """Answers of this model that come within LONGEST of each other, MOST at most."""
        if model.plan.cap > 1:
            return 1
        return min(MOST, int(LONGEST * model.pace.threads / max(model.pace.pool_seconds, 1e-6)))

    def _deliver(self) -> None:
        while self._ended:
            self._settle(*self._ended.popleft())
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._set_alarm()

    def _set_alarm(self) -> None:
        """While answers may wait: the jobs that are to take them along could all be slow ones."""
        if self._alarm is None and self._loop is not None and self._open > self._threads:
            self._alarm = self._loop.call_later(LONGEST, self._deliver)
