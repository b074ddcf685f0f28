"""Who goes first when the cores are full: the event loop, then the pictures, then the shadow."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

PICTURES = 5
"""Health, refusals and uploads take little and must not wait for a time slice of ten milliseconds each."""
SHADOW = 19


def lower(by: int) -> None:
    """Give the calling thread a lower priority than its process has: on Linux, where a thread has one of its own."""
    with suppress(OSError, AttributeError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, 0) + by))


INTERPRETER_SECONDS = 0.0002


def take_short_turns() -> None:
    """Let the threads take the interpreter from each other after 0.2 ms, not 5.

    A thread needs it for some microseconds between decoding, resizing and the network, which do without. The event
    loop may keep it for milliseconds where several answers are due, and the cores would be idle meanwhile.
    """
    sys.setswitchinterval(INTERPRETER_SECONDS)
