from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service.settings import Settings
from service.tracing import read_traceparent
from tests.pictures import encode, plain
from tests.service.conftest import Served, new_engine, served

RED = encode(plain("red"))
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(record.getMessage()))


@pytest.fixture
def lines(tiny_service: Served):
    # What the tests before asked of the shared service is written first.
    tiny_service.written()
    handler, logger = Lines(), logging.getLogger("convoy.access")
    logger.addHandler(handler)
    level, logger.level = logger.level, logging.INFO
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_a_request_is_one_line_with_its_id_its_trace_and_its_stages(tiny_service: Served, lines: list[dict]) -> None:
    answer = tiny_service.post(RED, "/predict?model=tiny", headers={"x-request-id": "order-7", "traceparent": PARENT})
    assert answer.headers["x-request-id"] == "order-7"
    tiny_service.written()
    (line,) = lines
    assert (line["request_id"], line["trace_id"], line["status"]) == ("order-7", TRACE, 200)
    assert (line["route"], line["method"], line["received"]) == ("/predict", "POST", len(RED))
    assert line["bundle"] == answer.json()["bundle"]
    assert list(line["stages_ms"]) == ["queue", "decode", "preprocess", "infer"]


def test_nothing_of_a_path_a_query_or_a_body_gets_into_the_log(tiny_service: Served, lines: list[dict]) -> None:
    tiny_service.post(b"secret", "/predict?token=secret")
    tiny_service.get("/secret")
    tiny_service.get("/livez")
    tiny_service.written()
    assert [line["status"] for line in lines] == [415, 404]
    assert "secret" not in json.dumps(lines)


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "é"])
def test_an_id_that_could_do_harm_is_replaced(tiny_service: Served, given: str) -> None:
    found = tiny_service.post(RED, headers={"x-request-id": given.encode()}).headers["x-request-id"]
    assert found != given
    assert len(found) == 32


@pytest.mark.parametrize(
    "header", [None, "", "x", PARENT.upper(), f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", PARENT[:-1]]
)
def test_a_header_that_is_no_traceparent_begins_a_new_trace(header: str | None) -> None:
    trace = read_traceparent(header)
    assert (trace.parent, len(trace.trace_id)) == ("", 32)
    assert trace.trace_id != TRACE


def test_the_log_can_be_switched_off(tiny_bundle: Path, lines: list[dict]) -> None:
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, batching="off", access_log="off")).join()
    with served(engine) as service:
        service.post(RED)
    engine.stop()
    assert lines == []


class Collector(BaseHTTPRequestHandler):
    bodies: list[bytes] = []  # noqa: RUF012 - of the one collector of this test

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_spans_by_stage_reach_a_collector(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, batching="off")).join()
    with served(engine) as service:
        assert service.post(RED, headers={"traceparent": PARENT}).status_code == 200
        assert service.post(RED).status_code == 200
    engine.stop()
    collector.shutdown()
    collector.server_close()
    spans = []
    for body in Collector.bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    first = [span for span in spans if span.trace_id.hex() == TRACE]
    assert sorted(span.name for span in first) == ["POST /predict", "decode", "infer", "preprocess", "queue"]
    (root,) = (span for span in first if span.name == "POST /predict")
    assert root.parent_span_id.hex() == SPAN
    assert {span.parent_span_id for span in first if span is not root} == {root.span_id}
    for span in first:
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano
    others = [span for span in spans if span.trace_id.hex() != TRACE and span.name == "POST /predict"]
    assert len(others) == 1
    assert others[0].parent_span_id == b""


def test_batches_are_measured(tiny_service: Served) -> None:
    tiny_service.post(RED)
    text = tiny_service.get("/metrics").text
    for name in ("convoy_batch_size_count", "convoy_pictures_pending", "convoy_queue_depth", "convoy_ready"):
        assert name in text


def test_metrics_are_those_of_this_process_wherever_bentoml_would_keep_them(tmp_path: Path) -> None:
    code = """
from service.metrics import Metrics
metrics = Metrics()
metrics.answered("/predict", "POST", 200, 0.1)
print(metrics.exposition().decode())
"""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert 'convoy_requests_total{method="POST",route="/predict",status="200"} 1.0' in found.stdout
    (memory,) = [line for line in found.stdout.splitlines() if line.startswith("process_resident_memory_bytes ")]
    assert float(memory.split()[1]) > 1e6
    assert list(tmp_path.iterdir()) == []
