"""Prometheus metrics. Labels are bounded: route templates, never paths that a client makes up."""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from service.model import ServedModel

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 20)


class Metrics:
    """What /metrics shows, in base units."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self.requests = Counter(
            "convoy_requests_total", "Answered requests.", ("route", "method", "status"), registry=registry
        )
        self.seconds = Histogram(
            "convoy_request_seconds", "Whole request, upload included.", ("route",), buckets=_SECONDS, registry=registry
        )
        self.stages = Histogram(
            "convoy_stage_seconds",
            "One picture's time in queue, decode, preprocess and infer.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "convoy_requests_in_progress", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self.ready = Gauge(
            "convoy_ready", "1 when the bundle is loaded and checked.", registry=registry, multiprocess_mode="livemin"
        )
        self.build = Gauge(
            "convoy_build_info",
            "The bundle that answers.",
            ("model", "version", "bundle", "architecture", "target"),
            registry=registry,
            multiprocess_mode="livemax",
        )

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Add one picture's seconds in a stage."""
        self.stages.labels(stage).observe(seconds)

    def loaded(self, model: ServedModel) -> None:
        """The model is ready."""
        architecture = model.bundle.manifest.architecture.name
        self.build.labels(model.name, model.version, model.bundle.id, architecture, model.artefact.target).set(1)
        self.ready.set(1)

    def exposition(self) -> bytes:
        """The text format; over all processes when BentoML runs several."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
