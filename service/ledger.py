"""What is written down of requests that have ended: metrics, log lines and spans, for several requests at a time.

A network's weights push everything else out of the cores' caches: Python that comes between two of its calls takes
longer, for each answer, than for several answers in one go.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("convoy.service")

LONGEST = 0.1
"""Seconds that an entry may wait."""
MOST = 64
"""Entries that are written together: they keep the event loop for as long."""


class Ledger:
    """Calls what was entered, in its order: LONGEST later, with MOST entries, or when `book` or `close` is called."""

    def __init__(self) -> None:
        self._entries: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def enter(self, write: Callable[..., object], *values: Any) -> None:
        """On the event loop."""
        self._entries.append((write, values))
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._alarm = loop, None
        if len(self._entries) >= MOST:
            self.book()
        elif self._alarm is None:
            self._alarm = loop.call_later(LONGEST, self.book)

    def book(self) -> None:
        """Write all that is there, on the event loop."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self.close()

    def close(self) -> None:
        """The same from any thread, when nothing more is expected."""
        while True:
            try:
                write, values = self._entries.popleft()
            except IndexError:
                return
            try:
                write(*values)
            except Exception:
                # The others are written, whatever was wrong with this one.
                logger.exception("an entry could not be written")
