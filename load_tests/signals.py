"""Ctrl-C and SIGTERM as a KeyboardInterrupt, where this process waits."""

from __future__ import annotations

import signal

import gevent


class Interrupts:
    """Raises KeyboardInterrupt in the greenlet that made it, when that one next waits for something.

    Python's own handler raises in whatever greenlet happens to run: one of locust's swallows it, and another prints it.
    """

    def __init__(self) -> None:
        self._greenlet = gevent.getcurrent()
        self._held = False
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, self._come)

    def hold(self) -> None:
        """From now on neither ends anything: what was measured is being written."""
        self._held = True

    def _come(self) -> None:
        gevent.get_hub().loop.run_callback(self._raise)

    def _raise(self) -> None:
        if not self._held:
            self._greenlet.throw(KeyboardInterrupt)
