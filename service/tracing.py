"""One span per request and one per stage, sent to an OpenTelemetry collector when an endpoint is set."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from service.errors import SettingInvalid

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class Trace(NamedTuple):
    """Where a request belongs (W3C Trace Context): 32 and 16 hexadecimal digits; `parent` is empty at a beginning."""

    trace_id: str
    parent: str
    sampled: bool


def read_traceparent(header: str | None) -> Trace:
    """The client's trace, or a new one where the header is missing or is none."""
    found = _TRACEPARENT.fullmatch(header or "")
    if found and found[1] != "ff" and int(found[2], 16) and int(found[3], 16):
        return Trace(found[2], found[3], bool(int(found[4], 16) & 1))
    return Trace(random_hex(32), "", True)


def random_hex(digits: int) -> str:
    """So many hexadecimal digits, to tell requests apart: no secret, so no system call, which lets the threads by."""
    return f"{random.getrandbits(4 * digits):0{digits}x}"


class Tracer:
    """Sends spans in the background. Raises: SettingInvalid where the exporter is not installed."""

    def __init__(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            package = "opentelemetry-exporter-otlp-proto-http"
            raise SettingInvalid(ENDPOINTS[1], f"needs the package {package}: pip install {package}") from error
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "convoy")})
        self._ids = _ids()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("convoy")

    def record(
        self,
        name: str,
        trace: Trace,
        end: int,
        seconds: float,
        stages: Mapping[str, float],
        attributes: Mapping[str, Any],
    ) -> None:
        """A request that ended at `end` (Unix time in ns), and its stages one after the other at its end."""
        from opentelemetry import trace as api
        from opentelemetry.context import Context

        flags = api.TraceFlags(int(trace.sampled))
        ids = int(trace.trace_id, 16), int(trace.parent or "0", 16)
        # Without a parent this span begins the trace; its id is the one that the log has.
        self._ids.begun = ids[0]
        remote = api.NonRecordingSpan(api.SpanContext(*ids, is_remote=True, trace_flags=flags))
        parent = api.set_span_in_context(remote, Context())
        span = self._tracer.start_span(
            name,
            parent,
            kind=api.SpanKind.SERVER,
            attributes=dict(attributes),
            start_time=end - int(seconds * 1e9),
        )
        inside = api.set_span_in_context(span)
        at = end - int(sum(stages.values()) * 1e9)
        for stage, lasted in stages.items():
            child = self._tracer.start_span(stage, inside, start_time=at)
            at += int(lasted * 1e9)
            child.end(at)
        span.end(end)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _ids() -> Any:
    """Random span ids, and the trace ids that are asked for."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        begun = 0

        def generate_trace_id(self) -> int:
            return self.begun

    return Ids()


def tracer() -> Tracer | None:
    """A tracer when an endpoint is set in the environment. Raises: SettingInvalid."""
    return Tracer() if any(os.environ.get(name) for name in ENDPOINTS) else None
