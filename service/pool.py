"""The threads that prepare pictures and, where no lane does, run them.

As many work at the same time as are right for the model whose picture is next (service/planning.py).

A thread that becomes free takes several pictures at once where as many are left for every other thread, and runs them
in one call (service/together.py). Nobody waits for a companion to come, and nothing is handed from thread to
thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from service.job import Job
from service.model import ServedModel
from service.priority import PICTURES, lower

logger = logging.getLogger("convoy.service")

LARGEST_SHARED = 1 << 20
"""Bytes of a picture that shares a call: the others wait while it is decoded."""

Refuse = Callable[[ServedModel, Job], None]


class Pool:
    """`threads` threads from now until `close`, which calls `refuse` for every job that still waits.

    Raises: RuntimeError where the machine does not let so many begin; then none is left.
    """

    def __init__(self, threads: int, refuse: Refuse) -> None:
        self._refuse = refuse
        self._waiting: deque[tuple[ServedModel, Job]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._working = threads
        """Threads that do not wait for pictures; each does as soon as it runs."""
        self._threads: list[threading.Thread] = []
        try:
            for number in range(threads):
                thread = threading.Thread(target=self._run, name=f"convoy_{number}", daemon=True)
                thread.start()
                self._threads.append(thread)
        except RuntimeError:
            self.close()
            raise

    def submit(self, model: ServedModel, job: Job) -> bool:
        """Let `model` work the job off; False, and nothing is done, once the pool was closed."""
        with self._changed:
            if self._closed:
                return False
            self._waiting.append((model, job))
            if self._has_turn():
                self._changed.notify()
            return True

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return len(self._waiting)

    def close(self) -> None:
        """Refuse what waits, let what runs end, and end the threads."""
        with self._changed:
            self._closed = True
            waiting = [*self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for model, job in waiting:
            self._refuse(model, job)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        lower(PICTURES)
        while taken := self._take():
            self._work(*taken)
            del taken  # or a thread that waits would keep the last pictures

    def _work(self, model: ServedModel, jobs: list[Job]) -> None:
        try:
            model.work(jobs)
        except Exception:
            # The thread goes on, whatever came after an answer.
            logger.exception("what follows an answer failed")

    def _take(self) -> tuple[ServedModel, list[Job]] | None:
        """The first job and those that share its call; None once the pool was closed."""
        with self._changed:
            self._working -= 1
            while not self._has_turn() and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return None
            model, first = self._waiting.popleft()
            jobs, together = [first], model.together
            while len(jobs) < together and self._joins(model, jobs):
                jobs.append(self._waiting.popleft()[1])
            self._working += 1
            if self._has_turn():
                self._changed.notify()  # what was next before had no use for more threads
            return model, jobs

    def _has_turn(self) -> bool:
        """Whether one more thread may work on what is next."""
        return bool(self._waiting) and self._working < self._waiting[0][0].pace.threads

    def _joins(self, model: ServedModel, jobs: list[Job]) -> bool:
        """Whether the next one that waits shares the call of `jobs`: as many are left for every other thread."""
        if len(self._waiting) < len(jobs) * model.pace.threads:
            return False
        other, job = self._waiting[0]
        return other is model and _shares(job) and _shares(jobs[0])


def _shares(job: Job) -> bool:
    return job.explain is None and job.size <= LARGEST_SHARED
