"""What is known of a request once it has ended: one JSON line in the log, and its spans."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

from starlette.requests import Request

from service.engine import Engine
from service.tracing import random_hex, read_traceparent

access = logging.getLogger("convoy.access")

KEY = "convoy.request"
_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class Passage:
    """One request from its arrival. The routes add which model answered and how long each stage took."""

    def __init__(self, request: Request) -> None:
        headers, scope = request.headers, request.scope
        given = headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else random_hex(32)
        self.trace = read_traceparent(headers.get("traceparent"))
        self.received = headers.get("content-length", "")[:20]
        self.method = str(scope["method"])[:20]
        self.model: dict[str, str] = {}
        self.stages: dict[str, float] = {}
        self.status, self.seconds, self.ended_ns = 0, 0.0, 0
        self.started = time.perf_counter()
        scope[KEY] = self

    def end(self, status: int) -> None:
        """It has just been answered, or has ended without an answer."""
        self.status, self.seconds, self.ended_ns = status, time.perf_counter() - self.started, time.time_ns()

    def write(self, engine: Engine, route: str) -> None:
        """Log and trace it, where either is switched on. Never a path, a query or a body: pictures stay out of logs."""
        if engine.tracer is not None:
            attributes = {
                "http.request.method": self.method,
                "http.route": route,
                "http.response.status_code": self.status,
            }
            attributes |= {f"convoy.{name}": value for name, value in self.model.items()}
            engine.tracer.record(
                f"{self.method} {route}", self.trace, self.ended_ns, self.seconds, self.stages, attributes
            )
        if engine.logs_requests:
            access.info(json.dumps(self._line(route)))

    def _line(self, route: str) -> dict[str, Any]:
        return {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.ended_ns // 1_000_000_000)) + "Z",
            "request_id": self.id,
            "trace_id": self.trace.trace_id,
            "method": self.method,
            "route": route,
            "status": self.status,
            "ms": round(1000 * self.seconds, 2),
            "received": int(self.received) if self.received.isdecimal() else None,
            **self.model,
            "stages_ms": {stage: round(1000 * value, 2) for stage, value in self.stages.items()},
        }


def note(request: Request, model: dict[str, str], stages: dict[str, float]) -> None:
    """Which model answered, and the seconds by stage."""
    passage = request.scope.get(KEY)
    if isinstance(passage, Passage):
        passage.model, passage.stages = model, stages
