"""Waiting for what another process brings about."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_SECONDS = 0.02


def until(happened: Callable[[], bool], what: str, seconds: float) -> None:
    """Return as soon as `happened()`. Raises: TimeoutError, saying what was waited for."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() >= end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(LOOK_SECONDS)
