"""A service that does as it is told, and load tests in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"models": [{"name": "fake"}]}
ANSWER = {"predictions": [{"label": "ants", "index": 0, "probability": 0.75}]}


@dataclass(frozen=True)
class Says:
    """An answer. `length`: what the header claims; beyond the body the connection ends within the answer."""

    status: int = 200
    document: Any = None
    length: int | None = None


Behaviour = Callable[[str, int, float], Says]
"""(path, number of the request, seconds since the first one) → the answer; may block."""


class FakeService(ThreadingHTTPServer):
    """Answers POST as `behaviour` says, and GET /models as Convoy does."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = behaviour
        self.lock = threading.Lock()
        self.count = 0
        self.first: float | None = None
        self.bodies: list[bytes] = []
        """Of all POST requests, in the order in which they came."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Nothing: that clients hang up is what some tests do."""

    def next(self) -> tuple[int, float]:
        with self.lock:
            now = time.monotonic()
            self.first = self.first or now
            self.count += 1
            return self.count, now - self.first


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeService

    def do_GET(self) -> None:
        self.write(Says(200, MODELS) if self.path == "/models" else Says(404, {"detail": "no"}))

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.write(self.server.behaviour(self.path, *self.server.next()))

    def write(self, says: Says) -> None:
        body = json.dumps(ANSWER if says.document is None else says.document).encode()
        self.send_response(says.status)
        self.send_header("Content-Length", str(len(body) if says.length is None else says.length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = says.length is not None

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def fake_service(behaviour: Behaviour) -> Iterator[FakeService]:
    with FakeService(behaviour) as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()


def load_test(url: str, images: Path, out: Path, *options: object) -> tuple[int, dict[str, Any], str]:
    """Exit code, summary.json and what was printed of `python -m load_tests`."""
    command = [sys.executable, "-m", "load_tests", url, "--images", images, "--out", out, *options]
    result = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=120)
    file = out / "summary.json"
    summary = json.loads(file.read_text()) if file.is_file() else {}
    return result.returncode, summary, result.stdout + result.stderr
