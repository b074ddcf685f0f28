"""A second file for locust: writes down when each failed request began and ended.

HAProxy hangs up without an answer, and without a line in its log, when a server drops a request that was not the first
of its client's connection; only the client has seen that one. `began` and `ended` are seconds since the epoch.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from locust import events

FILE = "CONVOY_ROLLING_FAILURES"
"""The environment variable with the file's name."""


@events.request.add_listener  # type: ignore[untyped-decorator]
def write_failure(start_time: float, response_time: float, exception: Exception | None, **_: Any) -> None:
    """One JSON line for a request that failed, or whose answer was wrong."""
    if exception is not None:
        line = {"began": start_time, "ended": start_time + response_time / 1000, "error": str(exception)}
        with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
