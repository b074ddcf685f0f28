"""Loads the bundle, says whether it is ready, and works requests off on a few threads. Knows no HTTP."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from bundle.errors import ConvoyError
from service.errors import DeadlinePassed, NotReady, Overloaded, UnknownModel, UnknownVersion
from service.metrics import Metrics
from service.model import ServedModel
from service.settings import Settings, read_settings

logger = logging.getLogger("convoy.service")


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None], _: Future[Any]) -> None:
    """Run `call` on the loop, from whichever thread; after the loop's end there is nothing left to count."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


class Engine:
    """The state behind the routes: starting → ready, or failed with a reason; then stopped.

    Loading runs on a thread of its own, so that /livez and /readyz answer from the first moment.
    """

    def __init__(self) -> None:
        self._reason = "not started"
        self._model: ServedModel | None = None
        self._settings: Settings | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._uploads = 0
        self._pending = 0
        self._metrics: Metrics | None = None

    @property
    def metrics(self) -> Metrics:
        # Made on first use: prometheus_client looks at the process it is in when a metric is made.
        if self._metrics is None:
            self._metrics = Metrics()
        return self._metrics

    def start(self, settings: Settings | None = None) -> threading.Thread:
        """Begin to load; read the settings from the environment unless given. Returns the loading thread."""
        self._reason = "the bundle is being loaded and checked"
        thread = threading.Thread(target=self._load, args=(settings,), name="convoy-load", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Refuse new requests, let the running ones finish, and refuse those that wait."""
        with self._lock:
            self._stopped = True
            self._reason = "shutting down"
            self._model = None
            pool = self._pool
        self.metrics.ready.set(0)
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    @property
    def settings(self) -> Settings:
        """Raises: NotReady before they were read."""
        if self._settings is None:
            raise NotReady(self._reason)
        return self._settings

    def ready(self) -> ServedModel:
        """The model. Raises: NotReady with the reason."""
        if self._model is None:
            raise NotReady(self._reason)
        return self._model

    def find(self, name: str | None, version: str | None = None) -> ServedModel:
        """The model called `name`, or the only one. Raises: NotReady, UnknownModel, UnknownVersion."""
        model = self.ready()
        if name is not None and name != model.name:
            raise UnknownModel(name, [model.name])
        if version is not None and version != model.version:
            raise UnknownVersion(model.name, version, [model.version])
        return model

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place while an upload is read. Raises: Overloaded, before anything of the body was read.

        Uploads, waiting and running requests share the places, so memory is bounded by places x max_bytes.
        """
        places = self.settings.queue + self.settings.threads
        if self._uploads + self._pending >= places:
            raise Overloaded(self._uploads + self._pending)
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    async def classify(self, model: ServedModel, data: bytes, k: int, deadline: float) -> dict[str, Any]:
        """The model's answer by `deadline` (time.monotonic), for a request that was admitted.

        Raises: ImageError, DeadlinePassed, NotReady.
        """
        if self._pool is None:
            raise NotReady(self._reason)
        try:
            work = self._pool.submit(self._work, model, data, k, time.perf_counter(), deadline)
        except RuntimeError as error:  # the pool was shut down between the check and now
            raise NotReady(self._reason) from error
        # Counted until the thread is free again, not until the client stops waiting.
        self._pending += 1
        work.add_done_callback(partial(_soon, asyncio.get_running_loop(), self._done))
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                # Cancelled or timed out, it takes what has not begun out of the queue with it.
                return await asyncio.wrap_future(work)
        except TimeoutError as error:
            raise DeadlinePassed(self.settings.timeout) from error
        except asyncio.CancelledError as error:
            if self._stopped and work.cancelled():
                raise NotReady(self._reason) from error
            raise

    def _done(self) -> None:
        self._pending -= 1

    def _work(self, model: ServedModel, data: bytes, k: int, queued: float, deadline: float) -> dict[str, Any]:
        self.metrics.observe_stage("queue", time.perf_counter() - queued)
        if time.monotonic() > deadline:
            raise DeadlinePassed(self.settings.timeout)
        return model.classify(data, k, self.metrics.observe_stage)

    def _load(self, settings: Settings | None) -> None:
        started = time.perf_counter()
        try:
            self._settings = settings or read_settings()
            model = ServedModel(self._settings.bundle, self._settings.artefact, self._settings.limits)
        except ConvoyError as error:
            self._fail(str(error))
            logger.error("not ready: %s", error)
        except Exception:
            # Never half ready and never silent: whatever it was, /readyz says that it failed.
            self._fail("the bundle could not be loaded: see the log")
            logger.exception("not ready")
        else:
            self._publish(model, self._settings, time.perf_counter() - started)

    def _publish(self, model: ServedModel, settings: Settings, seconds: float) -> None:
        """Ready, unless it was stopped in the meantime."""
        with self._lock:
            if self._stopped:
                return
            self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="convoy")
            self._model = model
        self.metrics.loaded(model)
        logger.info(
            "ready: %s %s (%s), golden answers within %.1e, in %.2f s",
            model.name,
            model.version,
            model.bundle.id[:12],
            model.golden_difference,
            seconds,
        )

    def _fail(self, reason: str) -> None:
        with self._lock:
            if not self._stopped:
                self._reason = reason
