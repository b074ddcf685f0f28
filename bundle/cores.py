"""How many cores this process may really use: the container's quota counts, not the host's processors."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cores(cgroup: Path = _CGROUP) -> int:
    """The smaller of the CPU affinity and the cgroup's quota (v2 or v1), rounded up; at least 1."""
    affinity, quota = _affinity(), _quota(cgroup)
    return max(1, affinity if quota is None else min(affinity, -int(-quota // 1)))


def below_quota(cgroup: Path = _CGROUP) -> bool:
    """Whether the processors are what limits, and not a quota: no number of threads can use more than there are."""
    quota = _quota(cgroup)
    return quota is None or _affinity() <= quota


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(cgroup: Path) -> float | None:
    """Cores per period; None when there is no limit or no cgroup."""
    try:
        if (cgroup / "cpu.max").is_file():
            limit, period = (cgroup / "cpu.max").read_text().split()
        else:
            limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        return None if limit in ("max", "-1") else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
