"""The measured plan, kept between starts: one small JSON file per bundle, machine and runtime."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.curve import Plan, Point

logger = logging.getLogger("convoy.service")


def machine() -> str:
    """What the speed depends on: the processor's name and the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        model = ""
    return f"{platform.system()} {platform.machine()} {model or platform.processor()}"


def key_of(**facts: Any) -> str:
    """A file name from everything that the measurement depends on."""
    text = json.dumps({"format": 3, "machine": machine(), **facts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def recall(folder: Path | None, key: str) -> tuple[Plan, list[Point]] | None:
    """What was measured before, or None: a missing or damaged file costs a new measurement and no more."""
    if folder is None:
        return None
    try:
        found = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        plan, points = Plan(**found["plan"]), [Point(**point) for point in found["curve"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    numbers = (plan.cap, plan.lanes, plan.threads, plan.together)
    sane = all(type(number) is int and 1 <= number <= 1024 for number in numbers)
    return (plan, points) if sane else None


def remember(folder: Path | None, key: str, plan: Plan, points: list[Point]) -> None:
    """Keep it, written beside and renamed; a folder that cannot be written to is no reason to fail."""
    if folder is None:
        return
    text = json.dumps({"plan": asdict(plan), "curve": [point.as_dict() for point in points]})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".plan.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, folder / f"{key}.json")  # noqa: PTH105 - both are strings
    except OSError as error:
        logger.info("the measured plan is not kept: %s", error)
