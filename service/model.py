"""One served bundle: its runtime, its batcher and its description as JSON values. Knows no HTTP."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.folder import open_bundle
from bundle.golden import check_golden
from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess
from service import runtime
from service.batcher import Batcher
from service.catalogue import Address
from service.choice import choose
from service.curve import Plan, Point
from service.drift import Drift
from service.errors import VersionDiffers
from service.job import Job
from service.lone import Lone, spread
from service.metrics import Metrics
from service.pace import Pace
from service.planning import abreast, in_company, on_cpu, planned, working_off
from service.settings import Settings
from service.shadow import Shadow

Done = Callable[["ServedModel", Job], None]
"""Called once for every job, from any thread, when nothing will be done for it any more."""

Alone = Callable[[], bool]
"""Whether no other picture is there than the one that is worked on. From any thread."""

COMPANY_SHARE = 0.25
"""Of CONVOY_MAX_WAIT: who sets it to some milliseconds wants prompt answers, and those of one call come together."""
LEARNED = 3
"""Pictures by which a start judges the pace: one that somebody else delayed, or a large one, does not count."""
COMPANY_CHECKS = 2
"""Golden pictures that are checked beside others too: alone it is all of them."""


class ServedModel:
    """A bundle whose checksums and golden answers were checked when it was made; the check warms it up too.

    Raises: FolderError, ArtefactMissing, VersionDiffers.
    """

    def __init__(self, address: Address, settings: Settings, metrics: Metrics, done: Done, alone: Alone) -> None:
        self.bundle = open_bundle(address.path)
        manifest = self.bundle.manifest
        self.name = address.name or manifest.name
        self.version = manifest.version
        if address.version not in (None, manifest.version):
            raise VersionDiffers(address.path, str(address.version), manifest.version)
        self.settings, self.metrics, self._done, self._alone = settings, metrics, done, alone
        self.artefact, self.runtime = choose(self.bundle, settings)
        self.plan, self.curve = self._plan()
        if self.plan.threads != 1:
            self.runtime = self._with_threads(self.plan.threads)
        self.golden_difference = self._golden()
        self.wide = self._spread()
        self.drift = self._drift()
        self.shadow: Shadow | None = None
        self.pace = Pace(self.plan.lanes if self.plan.cap > 1 else 0, settings.threads)
        self._learn()
        self._lone = Lone(self.wide.run, self.runtime.run) if self.wide else None
        run_alone = self._lone.run if self._lone else None
        self._batcher = Batcher(self.runtime.run, self.plan, self._ended, self._ran, self._explain, run_alone)

    def _learn(self) -> None:
        """A first idea of the pace, so that the first burst is already admitted by time."""
        pictures = [self.bundle.path(golden.image) for golden in self.bundle.manifest.golden]
        timed = [self._timed(picture) for picture, _ in zip(cycle(pictures), range(LEARNED), strict=False)]
        prepare, infer = (statistics.median(seconds) for seconds in zip(*timed, strict=True))
        if on_cpu(self.runtime):
            self.pace.threads = abreast(self.settings, self.plan, prepare + infer)
        # Under load more threads than cores share these, and each takes longer.
        self.pace.expect({"preprocess": prepare, "infer": infer}, self.pace.threads / self.settings.cores)
        if self.wide is not None:
            started = time.perf_counter()
            self.wide.run(np.zeros((1, *self.input_shape), np.uint8))
            self.pace.infer.reach(time.perf_counter() - started)

    def _timed(self, picture: Path) -> tuple[float, float]:
        """Seconds of the calling thread to prepare it, and of one call of the runtime."""
        started = time.perf_counter()
        pixels = preprocess(decode(picture), self._spec)
        prepared = time.perf_counter()
        self.runtime.run(pixels[np.newaxis])
        return prepared - started, time.perf_counter() - prepared

    @property
    def together(self) -> int:
        """Pictures for one thread at once: the plan's, where they take no more than a part of what waiting may take."""
        in_time = COMPANY_SHARE * self.settings.max_wait / max(self.pace.pool_seconds, 1e-6)
        return max(1, min(self.plan.together, int(in_time)))

    @property
    def _spec(self) -> Preprocess:
        return self.bundle.manifest.preprocess

    def work(self, jobs: list[Job]) -> None:
        """Decode and preprocess on the calling thread, then infer here in one call, or with the next batches."""
        # All of them have their turn now: who comes second is not late for that.
        ready = [job for job in [job for job in jobs if self._begins(job)] if self._prepared(job)]
        if len(ready) == 1:
            job = ready[0]
            job.alone = self.wide is not None and job.explain is None and self._alone()
        self._batcher.put(ready)

    def _begins(self, job: Job) -> bool:
        """Whether it is still wanted and in time; otherwise it has ended."""
        job.mark("queue")
        return self._goes_on(job, job.refuse_late)

    def _prepared(self, job: Job) -> bool:
        """Whether it has its pixels now; otherwise it has ended."""
        job.mark("queue")
        return self._goes_on(job, partial(self._prepare, job))

    def _goes_on(self, job: Job, step: Callable[[], None]) -> bool:
        try:
            if job.wanted():
                step()
                return True
        except Exception as error:
            job.fail(error)
        self._done(self, job)
        return False

    def close(self) -> None:
        """Answer what is with the batcher and end its threads."""
        self._batcher.close()
        if self.shadow is not None:
            self.shadow.close()

    def _explain(self, batch: runtime.Batch) -> tuple[runtime.Probabilities, runtime.Maps]:
        return self.runtime.explain(batch)

    @property
    def depth(self) -> int:
        """Prepared pictures that wait for the runtime."""
        return self._batcher.depth

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """[H, W, 3] of the uint8 tensor."""
        crop = self.bundle.manifest.preprocess.crop
        return crop, crop, 3

    def _prepare(self, job: Job) -> None:
        if not isinstance(job.source, bytes):
            job.pixels = job.source
            return
        image = decode(job.source, self.settings.limits)
        job.extent = image.size
        job.mark("decode")
        job.pixels = preprocess(image, self._spec)
        job.mark("preprocess")

    def _ended(self, job: Job) -> None:
        try:
            if job.probabilities is not None:
                self._learn_from(job, job.probabilities)
        finally:
            self._done(self, job)

    def _learn_from(self, job: Job, probabilities: NDArray[np.float32]) -> None:
        """What every answered picture tells: the pace, the classes, the drift, and the shadow."""
        self.pace.add(job.seconds, job.alone, job.together)
        index = int(probabilities.argmax())
        label = self.bundle.manifest.labels[index]
        self.metrics.predicted(self.name, self.version, label)
        if self.drift is not None:
            self.drift.add(index, float(probabilities[index]))
        if self.shadow is not None:
            self.shadow.offer(job, label)

    def _drift(self) -> Drift | None:
        """None for a bundle without a reference."""
        manifest = self.bundle.manifest
        if manifest.reference_distribution is None:
            return None
        size = manifest.metrics.n if manifest.metrics else self.settings.drift_window
        return Drift(manifest.reference_distribution, size, self.settings.drift_window)

    def _ran(self, size: int, seconds: float) -> None:
        self.pace.add_batch(size, seconds)
        self.metrics.ran(self.name, size)
        if self._lone is not None:
            self._lone.ended()

    def _plan(self) -> tuple[Plan, list[Point]]:
        pictures = [self.bundle.path(golden.image).read_bytes() for golden in self.bundle.manifest.golden]
        work = working_off(self.runtime.run, pictures, self._spec)
        facts = {"bundle": self.bundle.id, "target": self.artefact.target}
        return planned(self.settings, self._with_threads, self.input_shape, work, **facts)

    def _golden(self) -> float:
        """The largest difference. Raises: GoldenMismatch."""
        difference = check_golden(self.bundle, self.artefact, self.runtime.run)
        if self.plan.together > 1:
            company = in_company(self.runtime.run, self.plan.together)
            difference = max(difference, check_golden(self.bundle, self.artefact, company, COMPANY_CHECKS))
        return difference

    def _spread(self) -> runtime.Runtime | None:
        """What runs a picture that is alone, where that is another runtime than the one under load."""
        threads = self.settings.lone_threads or self.settings.cores
        if threads == 1 or not on_cpu(self.runtime) or self.plan.cap > 1 or self.plan.threads > 1:
            return None
        wide = spread(self._with_threads, self.input_shape, threads)
        if wide is not None:
            check_golden(self.bundle, self.artefact, wide.run)
        return wide

    def _with_threads(self, threads: int) -> runtime.Runtime:
        if threads == 1:
            return self.runtime
        return runtime.load_runtime(self.bundle, self.artefact, threads, self.settings.runtime_options)

    def describe(self) -> dict[str, Any]:
        """What GET /models/{name} answers."""
        manifest = self.bundle.manifest
        return {
            **self.summary(),
            "architecture": manifest.architecture.model_dump(mode="json"),
            "labels": list(manifest.labels),
            "preprocess": manifest.preprocess.model_dump(mode="json"),
            "temperature": manifest.temperature,
            "metrics": manifest.metrics and manifest.metrics.model_dump(mode="json"),
            "artefact": self.artefact.model_dump(mode="json"),
            "golden_difference": self.golden_difference,
            "batching": {
                "max_batch": self.plan.cap,
                "lanes": self.plan.lanes,
                "together": self.plan.together,
                "abreast": self.pace.threads,
                "threads": self.plan.threads,
                "lone": self.wide is not None,
                "curve": [point.as_dict() for point in self.curve],
            },
            "provenance": manifest.provenance.model_dump(mode="json"),
            "licence": manifest.licence,
        }

    def summary(self) -> dict[str, Any]:
        """One line of GET /models."""
        return {
            "name": self.name,
            "version": self.version,
            "bundle": self.bundle.id,
            "classes": len(self.bundle.manifest.labels),
            "target": self.artefact.target,
            "precision": self.artefact.precision,
            "explains": self.artefact.class_map is not None,
            **self.runtime.describe(),
        }
