from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundle.cores import available_cores, below_quota

HERE = len(os.sched_getaffinity(0))


def cgroup(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, HERE),
        ({"cpu.max": "max 100000\n"}, HERE),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, min(2, HERE)),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, HERE),
        ({"cpu.max": "nonsense"}, HERE),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, HERE),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "0\n"}, HERE),
    ],
)
def test_the_quota_counts(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert available_cores(cgroup(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, True),
        ({"cpu.max": "max 100000\n"}, True),
        ({"cpu.max": f"{HERE * 100000} 100000\n"}, True),
        ({"cpu.max": f"{HERE * 100000 - 1000} 100000\n"}, False),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, False),
    ],
)
def test_a_quota_below_the_processors_is_what_limits(tmp_path: Path, files: dict[str, str], expected: bool) -> None:
    assert below_quota(cgroup(tmp_path, files)) is expected
