"""Where the service's own log lines go: BentoML configures only its own loggers."""

from __future__ import annotations

import logging


def log_to_stderr() -> None:
    """Give the `convoy` loggers a handler, once: BentoML's line format, and bare JSON lines for the requests."""
    _handle("convoy", logging.Formatter("%(asctime)s [%(levelname)s] [%(name)s] %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    _handle("convoy.access", logging.Formatter("%(message)s"))


def _handle(name: str, formatter: logging.Formatter) -> None:
    logger = logging.getLogger(name)
    if logger.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
