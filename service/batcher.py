"""Runs prepared pictures: where they are, or in batches on threads of its own.

There is no waiting window. A lane that becomes free takes what is there, up to the cap: while it computes, the
next batch gathers. Alone, a picture never waits; under load, batches grow by themselves.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from service.curve import Plan
from service.errors import AnswerNotFinite, NotReady
from service.job import Job
from service.priority import PICTURES, lower
from service.runtime import Batch, Maps, Probabilities

logger = logging.getLogger("convoy.service")

Ended = Callable[[Job], None]
"""Called once for every job that was put, whatever became of it."""
Ran = Callable[[int, float], None]
"""Called after every call of the runtime with the batch's size and its seconds."""


class Batcher:
    """`plan.lanes` threads that share a queue, or with a cap of 1 no threads at all: `put` runs the jobs itself.

    `explain` runs a batch of which somebody wants the class map too; `run_alone` a picture that is alone, where no
    lanes are.
    """

    def __init__(
        self,
        run: Callable[[Batch], Probabilities],
        plan: Plan,
        ended: Ended,
        ran: Ran,
        explain: Callable[[Batch], tuple[Probabilities, Maps]] | None = None,
        run_alone: Callable[[Batch], Probabilities] | None = None,
    ) -> None:
        self._run_alone = run_alone or run
        self._run, self._plan, self._ended, self._ran, self._explain = run, plan, ended, ran, explain
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        lanes = plan.lanes if plan.cap > 1 else 0
        self._threads = [threading.Thread(target=self._lane, name="convoy-infer", daemon=True) for _ in range(lanes)]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """Prepared pictures that wait for a lane."""
        return len(self._waiting)

    def put(self, jobs: list[Job]) -> None:
        """Run jobs that have their pixels: now and in one call, or with the next batches."""
        if not self._threads:
            self._answer(jobs)
            return
        with self._changed:
            if not self._closed:
                self._waiting += jobs
                self._changed.notify(len(jobs))
                return
        for job in jobs:
            job.fail(NotReady("shutting down"))
            self._ended(job)

    def close(self) -> None:
        """Answer what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _lane(self) -> None:
        lower(PICTURES)
        while batch := self._take():
            self._answer(batch)

    def _take(self) -> list[Job]:
        """Up to `cap` jobs that somebody still waits for; empty when closed and nothing is left."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(self._plan.cap, len(self._waiting)))]

    def _answer(self, jobs: list[Job]) -> None:
        wanted = [job for job in jobs if job.wanted()]
        try:
            if wanted:
                self._infer(wanted)
        except Exception as error:
            self._one_by_one(wanted, error)
        finally:
            for job in jobs:
                self._end(job)

    def _end(self, job: Job) -> None:
        try:
            self._ended(job)
        except Exception:
            # The lane and the neighbours go on, whatever came after this one's answer.
            logger.exception("what follows an answer failed")

    def _infer(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.mark("queue")
        # Alone it is not copied.
        batch = jobs[0].pixels[np.newaxis] if len(jobs) == 1 else np.stack([job.pixels for job in jobs])
        maps: Maps | None = None
        if self._explain is not None and any(job.explain for job in jobs):
            probabilities, maps = self._explain(batch)
        elif jobs[0].alone:
            probabilities = self._run_alone(batch)
        else:
            probabilities = self._run(batch)
        for job in jobs:
            job.mark("infer")
            job.together = len(jobs)
        self._ran(len(jobs), jobs[0].last)
        for place, (job, row) in enumerate(zip(jobs, probabilities, strict=True)):
            if np.isfinite(row).all():
                job.give(row, None if maps is None else maps[place])
            else:
                job.fail(AnswerNotFinite())

    def _one_by_one(self, jobs: list[Job], error: Exception) -> None:
        """What a batch failed with is the fault of one of its pictures at most."""
        if len(jobs) == 1:
            jobs[0].fail(error)
            return
        logger.warning("a batch of %d failed and is run one by one: %s", len(jobs), error)
        for job in jobs:
            try:
                self._infer([job])
            except Exception as own:
                job.fail(own)
