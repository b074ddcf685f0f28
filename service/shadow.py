"""A second artefact or bundle that sees a share of the traffic in the background. Its answers are only counted."""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from bundle.folder import MANIFEST, Folder, open_bundle
from bundle.golden import check_golden
from bundle.image import DecodeLimits, decode
from bundle.manifest import Artefact, BundleManifest, Preprocess
from bundle.preprocess import preprocess
from service.errors import SettingInvalid
from service.job import Job
from service.metrics import Metrics
from service.priority import SHADOW, lower
from service.runtime import Options, candidates, load_runtime
from service.settings import Settings

logger = logging.getLogger("convoy.service")

WAITING = 8


class Shadow:
    """Answers again what was answered, on one thread of the least priority; what it has no time for is dropped.

    `convoy_shadow_total` counts by result: agreed, differed (another most probable label), failed, dropped.
    """

    def __init__(
        self,
        name: str,
        bundle: Folder[BundleManifest],
        artefact: Artefact,
        share: float,
        limits: DecodeLimits,
        options: Options,
    ) -> None:
        self.name, self.artefact, self.bundle = name, artefact, bundle
        self._share, self._limits = share, limits
        self._runtime = load_runtime(bundle, artefact, 1, options)
        check_golden(bundle, artefact, self._runtime.run)
        self._waiting: queue.Queue[tuple[Job, str] | None] = queue.Queue(WAITING)
        self._random = random.Random()
        self._metrics: Metrics | None = None
        self._thread = threading.Thread(target=self._work, name="convoy-shadow", daemon=True)

    def start(self, metrics: Metrics) -> None:
        """Begin to count into `metrics`."""
        self._metrics = metrics
        self._thread.start()

    def offer(self, job: Job, label: str) -> None:
        """A picture that was answered with `label` in the first place."""
        if self._random.random() >= self._share:
            return
        try:
            self._waiting.put_nowait((job, label))
        except queue.Full:
            self._count("dropped")

    def close(self) -> None:
        """End the thread, where it was started; what waits is not answered any more."""
        if self._thread.ident is None:
            return
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
        self._waiting.put(None)
        self._thread.join()

    def _count(self, result: str) -> None:
        if self._metrics is not None:
            self._metrics.shadow.labels(self.name, self.artefact.target, result).inc()

    def _work(self) -> None:
        lower(SHADOW)
        while (item := self._waiting.get()) is not None:
            try:
                self._count("agreed" if self._label(item[0]) == item[1] else "differed")
            except Exception:
                logger.exception("the shadow failed")
                self._count("failed")

    def _label(self, job: Job) -> str:
        probabilities = self._runtime.run(self._pixels(job)[np.newaxis])[0]
        return self.bundle.manifest.labels[int(probabilities.argmax())]

    def _pixels(self, job: Job) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        spec: Preprocess = self.bundle.manifest.preprocess
        if isinstance(job.source, bytes):
            return preprocess(decode(job.source, self._limits), spec)
        return job.pixels


def _is_folder(wanted: str) -> bool:
    return os.sep in wanted or (Path(wanted) / MANIFEST).exists()


def open_shadow(wanted: str, name: str, served: Folder[BundleManifest], settings: Settings) -> Shadow:
    """`wanted` is a bundle folder, or the target of another artefact of the served bundle.

    Raises: FolderError, ArtefactMissing, SettingInvalid.
    """
    options = settings.runtime_options
    bundle, target = (open_bundle(Path(wanted)), "auto") if _is_folder(wanted) else (served, wanted)
    artefact = candidates(bundle.manifest, target, options)[0]
    return Shadow(name, bundle, artefact, settings.shadow_share, settings.limits, options)


class Shadowed(Protocol):
    """A model that may get a shadow."""

    name: str
    bundle: Folder[BundleManifest]
    shadow: Shadow | None


def cast_shadows(models: Sequence[Shadowed], settings: Settings) -> None:
    """Give every model its shadow: of the same target for all, or one bundle for the model of its name.

    Raises: FolderError, ArtefactMissing, SettingInvalid when no model is meant.
    """
    meant = list(models)
    if _is_folder(settings.shadow) and len(models) > 1:
        name = open_bundle(Path(settings.shadow)).manifest.name
        meant = [model for model in models if model.name == name]
        if not meant:
            names = ", ".join(sorted({model.name for model in models}))
            raise SettingInvalid("CONVOY_SHADOW", f"{settings.shadow}: a bundle of {name}, loaded are {names}")
    for model in meant:
        model.shadow = open_shadow(settings.shadow, model.name, model.bundle, settings)
