"""What a long run must not leave behind: memory that grows, files that stay."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from load_tests.errors import OptionInvalid, ProcessUnknown

TOLERANCE = 0.05
"""Of the resident memory after the first minute."""
FIRST_SECONDS = 60.0
SETTLED_SHARE = 0.25
"""Of a run that is shorter than four such minutes."""


def resident(pid: int) -> float | None:
    """Bytes that a process and its children hold; None once it has ended."""
    try:
        family = psutil.Process(pid)
        if family.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(sum(_of(member) for member in [family, *family.children(recursive=True)]))
    except psutil.Error:
        return None


def _of(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # gone, or a zombie that nobody has waited for
        return 0


def check_pid(pid: int) -> None:
    """Raises: ProcessUnknown."""
    if resident(pid) is None:
        raise ProcessUnknown(pid, "no such process here, or it belongs to somebody else")


def list_files(folder: Path) -> set[str]:
    """Everything below the folder. Raises: OptionInvalid."""
    if not folder.is_dir():
        raise OptionInvalid("--temp", folder, "no such folder")
    return {os.path.join(root, name) for root, folders, names in os.walk(folder) for name in [*folders, *names]}


@dataclass(frozen=True)
class Growth:
    """Bytes: after the first `since` seconds, at the end, and at most in between."""

    since: float
    settled: float
    last: float
    most: float

    @property
    def share(self) -> float:
        """Of the settled value; below zero when it shrank."""
        return self.last / self.settled - 1

    @property
    def steady(self) -> bool:
        """Not grown; giving memory back is no fault."""
        return self.share <= TOLERANCE


def growth(samples: list[tuple[float, float]]) -> Growth | None:
    """Of (second, bytes), ascending; None without two samples after the first minute, or quarter of a shorter run.

    The end is the median of the last tenth.
    """
    if not samples:
        return None
    since = min(FIRST_SECONDS, SETTLED_SHARE * samples[-1][0])
    after = [value for second, value in samples if second >= since]
    if len(after) < 2:
        return None
    tail = sorted(after[-max(1, len(after) // 10) :])
    return Growth(since, after[0], tail[len(tail) // 2], max(after))
