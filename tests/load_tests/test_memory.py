"""What a soak asserts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from load_tests.errors import OptionInvalid, ProcessUnknown
from load_tests.memory import Growth, check_pid, growth, list_files, resident


def samples(seconds: int, value) -> list[tuple[float, float]]:
    return [(float(second), float(value(second))) for second in range(seconds + 1)]


def test_what_grows_in_the_first_minute_is_no_leak() -> None:
    found = growth(samples(600, lambda second: 100 + min(second, 50)))
    assert found == Growth(60, 150, 150, 150)
    assert found.steady


def test_what_goes_on_growing_is() -> None:
    found = growth(samples(600, lambda second: 1000 + second / 4))
    assert found is not None
    assert not found.steady
    assert found.share == pytest.approx(0.11, abs=0.02)


def test_one_high_moment_is_none_and_giving_back_is_none() -> None:
    assert growth(samples(600, lambda second: 200 if second == 599 else 100)) == Growth(60, 100, 100, 200)
    shrunk = growth(samples(600, lambda second: 100 if second < 300 else 50))
    assert shrunk is not None
    assert shrunk.steady


def test_a_short_run_settles_after_a_quarter() -> None:
    found = growth(samples(20, lambda second: 10 if second < 5 else 20))
    assert found == Growth(5, 20, 20, 20)
    assert growth([]) is None
    assert growth([(0.0, 1.0)]) is None


def test_a_process_and_its_children_are_measured() -> None:
    assert (resident(os.getpid()) or 0) > 1e6
    check_pid(os.getpid())
    assert resident(99_999_999) is None
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as ended:
        assert ended.stdout is not None
        ended.stdout.read()
        while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        assert resident(ended.pid) is None  # nobody has waited for it yet
    with pytest.raises(ProcessUnknown, match="no such process"):
        check_pid(99_999_999)


def test_files_are_found_below_the_folder(tmp_path: Path) -> None:
    before = list_files(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("")
    assert len(list_files(tmp_path) - before) == 3
    with pytest.raises(OptionInvalid, match="no such folder"):
        list_files(tmp_path / "none")
