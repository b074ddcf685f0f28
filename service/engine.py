"""Loads the bundles, says whether they are ready, and works pictures off on a few threads. Sees no request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from bundle.errors import ConvoyError
from service.admission import Admission, Pacer
from service.catalogue import Catalogue, find_bundles
from service.deliveries import Deliveries
from service.errors import DeadlinePassed, NotReady, Overloaded, OwnDeadlinePassed
from service.explanation import Explain
from service.job import Job, Shape
from service.keys import Keys
from service.ledger import Ledger
from service.metrics import Metrics
from service.model import ServedModel
from service.patience import Patience
from service.pool import Pool
from service.runtime import Batch
from service.settings import Settings, read_settings
from service.shadow import cast_shadows
from service.tracing import Tracer, tracer

logger = logging.getLogger("convoy.service")


class Outcome(NamedTuple):
    """What became of one picture: the shaped answer or the error, and the seconds by stage."""

    answer: object
    error: Exception | None
    seconds: dict[str, float]


class Engine:
    """The state behind the routes: starting → ready, or failed with a reason; then draining; then stopped.

    Loading runs on a thread of its own, so that /livez and /readyz answer from the first moment.
    """

    def __init__(self) -> None:
        self._reason = "not started"
        self._catalogue: Catalogue[ServedModel] | None = None
        self._settings: Settings | None = None
        self._pool: Pool | None = None
        self._lock = threading.Lock()
        self._draining = self._stopped = False
        self._metrics: Metrics | None = None
        self._metrics_lock = threading.Lock()
        self.admission = Admission(1, 1)
        self._deliveries = Deliveries(self._end, 1, lambda: 0)
        self.pacer = Pacer()
        self.ledger = Ledger()
        self.requests = 0
        """Being answered."""
        self.keys: Keys | None = None
        self.tracer: Tracer | None = None

    @property
    def metrics(self) -> Metrics:
        # Made on first use: prometheus_client looks at the process it is in when a metric is made. Once: the loading
        # thread and the first request come at the same time.
        if self._metrics is None:
            with self._metrics_lock:
                self._metrics = self._metrics or Metrics()
        return self._metrics

    def start(self, settings: Settings | None = None) -> threading.Thread:
        """Begin to load; read the settings from the environment unless given. Returns the loading thread."""
        self._reason = "the bundles are being loaded and checked"
        thread = threading.Thread(target=self._load, args=(settings,), name="convoy-load", daemon=True)
        thread.start()
        return thread

    def drain(self) -> None:
        """Not ready any more, so that nobody sends new requests; whoever still does is answered."""
        self._draining = True
        self.metrics.ready.set(0)

    def stop(self) -> None:
        """Refuse new requests, let the running ones finish, and refuse those that wait."""
        with self._lock:
            self._draining = self._stopped = True
            self._reason = "shutting down"
            catalogue, self._catalogue = self._catalogue, None
            pool = self._pool
        self.metrics.ready.set(0)
        if pool is not None:
            pool.close()
        _close(catalogue.all if catalogue else ())
        self.ledger.close()
        if self.tracer is not None:
            self.tracer.close()

    @property
    def draining(self) -> bool:
        """Whether the end has begun."""
        return self._draining

    @property
    def settings(self) -> Settings:
        """Raises: NotReady before they were read."""
        if self._settings is None:
            raise NotReady(self._reason)
        return self._settings

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Raises: Unauthorized, where keys are needed; NotReady, while they are needed and could not be loaded."""
        if self.keys is not None:
            self.keys.check(headers)
        elif self._settings is not None and self._settings.api_keys_file is not None:
            raise NotReady(self._reason)

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """Whose pages may ask; none before the settings were read."""
        return self._settings.cors_origins if self._settings else ()

    @property
    def logs_requests(self) -> bool:
        """Whether each request gets a line."""
        return self._settings is None or self._settings.access_log == "on"

    def models(self) -> Catalogue[ServedModel]:
        """What is loaded, answering also while draining. Raises: NotReady with the reason."""
        if self._catalogue is None:
            raise NotReady(self._reason)
        return self._catalogue

    def ready(self) -> Catalogue[ServedModel]:
        """What is loaded, unless the end has begun. Raises: NotReady with the reason."""
        catalogue = self.models()
        if self._draining:
            raise NotReady("draining: the service is about to stop")
        return catalogue

    @contextmanager
    def admitted(self, model: ServedModel, patience: Patience, size: int) -> Iterator[None]:
        """Hold a place while a body of `size` bytes is read. Raises: Overloaded, before anything of it was read."""
        self.admission.check(model.pace, 1, size, patience.left(), patience.max_wait)
        with self.admission.held(model.pace, 1, size):
            yield

    async def answer(
        self,
        model: ServedModel,
        sources: Sequence[bytes | Batch],
        shape: Shape,
        patience: Patience,
        explain: Explain | None = None,
    ) -> list[Outcome]:
        """One outcome per picture (encoded bytes, or a uint8 [H, W, 3] tensor), in order, once all have one.

        With `explain`, of encoded pictures only, each answer is `Explained`.
        The pictures share nothing but the batch they may meet in. Raises: Overloaded, NotReady.
        """
        if self._pool is None:
            raise NotReady(self._reason)
        jobs: list[Job] = []
        for source in sources:
            jobs.append(Job(source, patience, shape, jobs[0] if jobs else None, explain))
        if len(jobs) > 1:
            size = sum(job.size for job in jobs)
            self.admission.check(model.pace, len(jobs), size, patience.left(), patience.max_wait)
        for job in jobs:
            self._submit(model, job)
        try:
            # One after the other: each waits no longer than its own deadline, and all of them are waited for anyway.
            results = [await _settled(job) for job in jobs]
        finally:
            for job in jobs:
                job.abandon()
        return [self._outcome(model, job, result) for job, result in zip(jobs, results, strict=True)]

    def _submit(self, model: ServedModel, job: Job) -> None:
        self.admission.take(model.pace, 1, job.size)
        self._deliveries.announce(job)
        assert self._pool is not None
        if not self._pool.submit(model, job):  # closed between the check and now
            self._refuse(model, job)

    def _refuse(self, model: ServedModel, job: Job) -> None:
        job.fail(NotReady(self._reason))
        self._done(model, job)

    def _done(self, model: ServedModel, job: Job) -> None:
        """Counted until the threads are done with it, not until the client stops waiting. From any thread."""
        with suppress(RuntimeError):  # after the loop's end nobody waits and there is nothing left to count
            self._deliveries.end(model, job)

    def _alone(self) -> bool:
        return self._deliveries.alone

    def _end(self, model: ServedModel, job: Job) -> None:
        job.settle()
        self.admission.give_back(model.pace, 1, job.size)

    def _outcome(self, model: ServedModel, job: Job, result: object) -> Outcome:
        if isinstance(result, Exception):
            if isinstance(result, (DeadlinePassed, OwnDeadlinePassed)):
                self.metrics.shed.labels("expired").inc()
            elif isinstance(result, Overloaded):
                self.shed(result)
            return Outcome(None, result, job.seconds)
        self.ledger.enter(self.metrics.observe_stages, model.name, job.seconds)
        return Outcome(result, None, job.seconds)

    def shed(self, error: Overloaded) -> None:
        """Count a refusal."""
        self.metrics.shed.labels(error.reason).inc()

    def exposition(self) -> bytes:
        """The metrics as text, with all that has ended and the gauges as they are now. On the event loop."""
        self.ledger.book()
        self.metrics.in_progress.set(self.requests)
        self.metrics.pictures.set(self.admission.pictures)
        for model in self._catalogue.all if self._catalogue else ():
            self.metrics.depth.labels(model.name, model.version).set(model.depth)
            report = model.drift.report() if model.drift else {}
            for of in ("classes", "confidence"):
                if report and report[of]["psi"] is not None:
                    self.metrics.drift.labels(model.name, model.version, of).set(report[of]["psi"])
        return self.metrics.exposition()

    def _load(self, settings: Settings | None) -> None:
        started = time.perf_counter()
        models: list[ServedModel] = []
        try:
            self._settings = settings or read_settings()
            # First of all: until then, and for ever without them, only health is answered.
            self.keys = Keys(self._settings.api_keys_file) if self._settings.api_keys_file else None
            addresses = find_bundles(self._settings.models)
            self.tracer = tracer()
            for address in addresses:  # one by one: those before a broken one are to be closed
                models.append(ServedModel(address, self._settings, self.metrics, self._done, self._alone))  # noqa: PERF401
            if self._settings.shadow:
                cast_shadows(models, self._settings)
            pool = Pool(self._settings.threads, self._refuse)
        except ConvoyError as error:
            _close(models)
            self._fail(str(error))
            logger.error("not ready: %s", error)
        except Exception:
            _close(models)
            # Never half ready and never silent: whatever it was, /readyz says that it failed.
            self._fail("the bundles could not be loaded: see the log")
            logger.exception("not ready")
        else:
            self._publish(models, pool, self._settings, time.perf_counter() - started)

    def _publish(self, models: list[ServedModel], pool: Pool, settings: Settings, seconds: float) -> None:
        """Ready, unless it was stopped in the meantime."""
        with self._lock:
            if self._stopped:
                pool.close()
                _close(models)
                return
            for model in models:
                if model.shadow is not None:
                    model.shadow.start(self.metrics)
            self.admission = Admission(settings.queue + settings.threads, settings.upload_memory)
            self.pacer = Pacer(settings.cores)
            self.admission.paces = [model.pace for model in models]
            self._pool = pool
            self._deliveries = Deliveries(self._end, settings.cores, lambda: pool.waiting)
            self._catalogue = Catalogue(models)
            self.metrics.ready.set(1)
        for model in models:
            self._announce(model)
        logger.info("ready: %d bundle(s) in %.2f s", len(models), seconds)

    def _announce(self, model: ServedModel) -> None:
        architecture, runtime = model.bundle.manifest.architecture.name, str(model.runtime.describe()["runtime"])
        labels = (model.name, model.version, model.bundle.id, architecture, model.artefact.target, runtime)
        self.metrics.build.labels(*labels).set(1)
        logger.info(
            "loaded: %s %s (%s, %s), golden answers within %.1e, %s%s",
            model.name,
            model.version,
            model.bundle.id[:12],
            model.artefact.target,
            model.golden_difference,
            model.plan.words,
            ", a lone picture on all cores" if model.wide else "",
        )

    def _fail(self, reason: str) -> None:
        with self._lock:
            if not self._stopped:
                self._reason = reason


async def _settled(job: Job) -> object:
    """The answer, or the error as a value."""
    try:
        return await job.answer()
    except Exception as error:
        return error


def _close(models: Iterable[ServedModel]) -> None:
    for model in models:
        model.close()
