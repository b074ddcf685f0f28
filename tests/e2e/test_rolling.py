"""Two real replicas behind a real HAProxy: rolled, killed, and the script that does it interrupted."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.rolling.waiting import until
from service.run import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed"),
]


def command(bundle: Path, images: Path, *options: str) -> list[str]:
    images_and_bundle = [str(bundle), "--images", str(images / "val" / "red")]
    return [sys.executable, "-m", "scripts.rolling_restart", *images_and_bundle, "--rounds", "1", *options]


def measured(bundle: Path, images: Path, out: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the figures."""
    arguments = [*command(bundle, images, *options), "--out", str(out)]
    result = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert out.is_file(), result.stdout + result.stderr
    return result.returncode, json.loads(out.read_text())


def alive(process: psutil.Process) -> bool:
    """A dead process whose parent died before it waits for whoever is process 1 to take notice."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("phase", ["rolling", "rolling_on_kept_connections"])
def test_a_rolling_restart_loses_no_request(tiny_bundle: Path, colours: Path, tmp_path: Path, phase: str) -> None:
    status, found = measured(tiny_bundle, colours, tmp_path / "out.json", "--phases", phase)
    row = found[phase]
    print(row)
    assert status == 0
    assert [each["server"] for each in row["restarts"]] == ["one", "two"]
    assert row["requests"] >= 400
    assert row["failed"] == row["failed_by_the_balancer"] == row["locust_failures"] == 0
    # It drained: what was on it at SIGTERM, or came before the balancer had looked, was answered.
    assert all(each["answered"] > 0 for each in row["restarts"])


def test_a_kill_costs_what_was_in_flight(tiny_bundle: Path, colours: Path, tmp_path: Path) -> None:
    status, found = measured(tiny_bundle, colours, tmp_path / "out.json", "--phases", "killed_replica", "killed_worker")
    print(found)
    assert status == 0
    killed, robbed = found["killed_replica"], found["killed_worker"]
    assert killed["failed"] == killed["in_flight"] == killed["locust_failures"] <= 16
    assert killed["noticed"] <= 3
    assert (robbed["ready_without_worker"], robbed["workers"], robbed["unexplained"]) == (0, 1, 0)


def test_killing_instead_of_draining_loses_requests(tiny_bundle: Path, colours: Path, tmp_path: Path) -> None:
    """The same measurement finds what is lost when something is."""
    status, found = measured(tiny_bundle, colours, tmp_path / "out.json", "--phases", "rolling", "--abruptly")
    assert status == 1
    assert found["rolling"]["failed"] > 0


def test_an_interrupted_script_leaves_nothing_behind(tiny_bundle: Path, colours: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    arguments = command(tiny_bundle, colours, "--phases", "rolling", "--logs", str(logs))
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        failures = logs / "rolling" / "failures"
        until(lambda: failures.is_file() or process.poll() is not None, "the load to begin", 120)
        started = psutil.Process(process.pid).children(recursive=True)
        assert {"haproxy"} < {child.name() for child in started}
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    finally:
        process.kill()
    assert b"KeyboardInterrupt" in complaint
    assert process.returncode not in (0, 1)
    assert not [child for child in started if alive(child)]
