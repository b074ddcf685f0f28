"""Prometheus metrics. Labels are bounded: route templates, never paths that a client makes up."""

from __future__ import annotations

from typing import TypeVar

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase

disable_created_metrics()  # type: ignore[no-untyped-call]
"""A second series for each, with the time of its first count."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 20)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

MAX_LABELS = 100
"""Predicted classes with a series of their own, per model; the others share one."""


Child = TypeVar("Child", bound=MetricWrapperBase)


class Series(dict[tuple[str, ...], Child]):
    """A metric's series by their labels, each looked up once: prometheus_client checks the labels at every look."""

    def __init__(self, metric: Child) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> Child:
        return self.setdefault(labels, self._metric.labels(*labels))


class Metrics:
    """What /metrics shows, in base units."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self._labels: dict[str, set[str]] = {}
        self._requests = Series(
            Counter("convoy_requests_total", "Answered requests.", ("route", "method", "status"), registry=registry)
        )
        self._seconds = Series(
            self._histogram("convoy_request_seconds", "Whole request, upload included.", ("route",), _SECONDS)
        )
        self._stages = Series(
            self._histogram(
                "convoy_stage_seconds",
                "One picture's time in queue, decode, preprocess, infer and explain, and in total from upload to "
                "answer.",
                ("model", "stage"),
                _SECONDS,
            )
        )
        self._batches = Series(
            self._histogram("convoy_batch_size", "Pictures per call of the runtime.", ("model",), _SIZES)
        )
        self.shed = Counter(
            "convoy_shed_total", "Pictures that were refused or given up, by reason.", ("reason",), registry=registry
        )
        self._predictions = Series(
            Counter(
                "convoy_predictions_total",
                f"Answered pictures by most probable class; the first {MAX_LABELS} classes of a model have a series.",
                ("model", "version", "label"),
                registry=registry,
            )
        )
        self.shadow = Counter(
            "convoy_shadow_total",
            "Pictures that a shadow saw too: agreed, differed, failed or dropped.",
            ("model", "target", "result"),
            registry=registry,
        )
        self.drift = self._gauge(
            "convoy_drift_psi",
            "Population stability index of the last pictures against the bundle's reference; of classes or confidence.",
            ("model", "version", "of"),
        )
        self.in_progress = self._gauge("convoy_requests_in_progress", "Requests being answered.")
        self.pictures = self._gauge("convoy_pictures_pending", "Pictures uploading, waiting or running.")
        self.depth = self._gauge("convoy_queue_depth", "Prepared pictures that wait for a batch.", ("model", "version"))
        self.ready = self._gauge("convoy_ready", "1 when every bundle is loaded and checked.")
        self.build = self._gauge(
            "convoy_build_info",
            "The bundles that answer.",
            ("model", "version", "bundle", "architecture", "target", "runtime"),
        )

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self._registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request that ended."""
        self._requests[route, method, str(status)].inc()
        self._seconds[(route,)].observe(seconds)

    def ran(self, model: str, size: int) -> None:
        """Count one call of the runtime."""
        self._batches[(model,)].observe(size)

    def observe_stages(self, model: str, seconds: dict[str, float]) -> None:
        """Add one picture's seconds by stage, and their sum."""
        for stage, value in seconds.items():
            self._stages[model, stage].observe(value)
        self._stages[model, "total"].observe(sum(seconds.values()))

    def predicted(self, model: str, version: str, label: str) -> None:
        """Count an answered picture under its most probable class."""
        known = self._labels.setdefault(model, set())
        if label not in known:
            if len(known) >= MAX_LABELS:
                label = "(other)"
            else:
                known.add(label)
        self._predictions[model, version, label].inc()

    def exposition(self) -> bytes:
        """The text format."""
        return generate_latest(self._registry)
