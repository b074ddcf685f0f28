"""Where the service's own log lines go: BentoML configures only its own loggers."""

from __future__ import annotations

import logging


def log_to_stderr() -> None:
    """Give the `convoy` loggers a handler, once, in BentoML's line format."""
    logger = logging.getLogger("convoy")
    if logger.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s [%(levelname)s] [%(name)s] %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
