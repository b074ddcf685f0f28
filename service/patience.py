"""How long one request may take."""

from __future__ import annotations

import time

from service.errors import DeadlinePassed, InvalidParameter, OwnDeadlinePassed
from service.settings import Settings

HEADER = "X-Request-Timeout"


class Patience:
    """The time of one request, from its arrival.

    With an X-Request-Timeout of its own (seconds) the whole request, upload included, has that long, and may wait
    as much of it. Otherwise an upload has `timeout` seconds and its answer has them again: a slow client must not
    cause what looks like a slow service; and waiting alone may take `max_wait`.
    Raises: InvalidParameter.
    """

    def __init__(self, text: str | None, settings: Settings) -> None:
        self.seconds, self.max_wait = settings.timeout, settings.max_wait
        self._end: float | None = None
        if text is not None:
            self.seconds = min(_seconds(text), settings.timeout)
            self.max_wait = self.seconds
            self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Seconds for what begins now."""
        return self.seconds if self._end is None else max(0.0, self._end - time.monotonic())

    def passed(self) -> DeadlinePassed | OwnDeadlinePassed:
        """The error of a deadline that passed: the service's, or the client's own."""
        return DeadlinePassed(self.seconds) if self._end is None else OwnDeadlinePassed(self.seconds)

    def deadline(self) -> float:
        """The same as a point of time.monotonic()."""
        return time.monotonic() + self.left()


def _seconds(text: str) -> float:
    try:
        seconds = float(text) if len(text) <= 20 and text.isascii() else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidParameter(HEADER, text, "a number of seconds above 0")
    return seconds
