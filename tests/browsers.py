"""Debian's chromium for the tests of pages, without a display."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = os.environ.get("CONVOY_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SHOTS = os.environ.get("CONVOY_SCREENSHOTS")

needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser whose camera shows a made-up picture. Skips where Playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    camera = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield running
        running.close()
