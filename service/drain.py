"""SIGTERM → not ready first, then the server's own way of stopping.

Kubernetes sends SIGTERM and takes the pod out of its endpoints at the same time; requests arrive for a moment more.
They are answered, each with `Connection: close`, so that no kept connection is left to be cut.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from types import FrameType

from bundle.errors import ConvoyError
from service.engine import Engine

logger = logging.getLogger("convoy.service")


def drain_on_sigterm(engine: Engine) -> bool:
    """Put the drain before the handler that is installed, once the loop runs; False where there is none to put it
    before (outside the main thread, in tests)."""
    if threading.current_thread() is not threading.main_thread():
        return False
    stop, loop = signal.getsignal(signal.SIGTERM), asyncio.get_running_loop()
    if not callable(stop):
        return False

    def begin(number: int, frame: FrameType | None) -> None:
        seconds = 0.0 if engine.draining else _seconds(engine)
        engine.drain()
        logger.info("SIGTERM: draining for %g s", seconds)
        loop.call_later(seconds, stop, number, frame)

    def handle(number: int, frame: FrameType | None) -> None:
        # Nothing but this: the signal may have come while this thread holds a lock, of a metric say, that the rest
        # would wait for for ever.
        loop.call_soon_threadsafe(begin, number, frame)

    signal.signal(signal.SIGTERM, handle)
    return True


def _seconds(engine: Engine) -> float:
    """As set; at once when nothing was ever served."""
    try:
        engine.ready()
        return engine.settings.drain
    except ConvoyError:
        return 0.0
