"""BentoML's supervisor looks after its worker every ten seconds: a killed one would leave clients hanging as long.

The supervisor imports the service before it makes its arbiter, so this is where its period can be set; there is no
setting for it. Where a later BentoML has moved the function, ten seconds remain, and the test of a killed worker
says so.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module

CHECK_SECONDS = 1.5
"""Longer than the arbiter needs to start its worker: a check in between would raise a ConflictError."""


def look_after_the_worker(seconds: float = CHECK_SECONDS) -> bool:
    """Whether the period could be set; in a worker it changes nothing."""
    try:
        circus = import_module("bentoml._internal.utils.circus")
        original = circus.create_standalone_arbiter
    except (ImportError, AttributeError):
        return False
    circus.create_standalone_arbiter = partial(original, check_delay=seconds)  # type: ignore[attr-defined]
    return True
