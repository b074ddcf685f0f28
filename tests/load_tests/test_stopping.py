"""What is left of a load test that ends early: no process, and what it had measured."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path

import psutil
import pytest

from tests.load_tests.measuring import Says, fake_service, load_test


def send_to_processes(module: str, number: int) -> None:
    """A signal to each `python -m module` that this test has started."""
    for process in psutil.Process().children(recursive=True):
        if module in process.cmdline():
            process.send_signal(number)


@pytest.mark.parametrize(
    ("module", "number", "code", "said"),
    [
        ("load_tests.worker", signal.SIGKILL, 1, "error: the load generator is not complete: a process ended with -9"),
        ("load_tests", signal.SIGINT, 130, "stopped"),
        ("load_tests", signal.SIGTERM, 130, "stopped"),
    ],
)
def test_a_generator_that_ends_early_leaves_no_process(
    module: str, number: int, code: int, said: str, pictures: Path, tmp_path: Path
) -> None:
    def end(path: str, count: int, seconds: float) -> Says:
        if count == 5:
            send_to_processes(module, number)
        return Says()

    with fake_service(end) as service:
        found, summary, text = load_test(service.url, pictures, tmp_path, "--rate", 50, "--processes", 2)
    assert (found, text.splitlines()[-1]) == (code, said), text
    assert summary == {}
    assert not [one for one in psutil.Process().children(recursive=True) if "load_tests.worker" in one.cmdline()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_steps_that_were_done_are_kept(number: int, pictures: Path, tmp_path: Path) -> None:
    """The question before the load, ten requests of the first step, and a few of the second one's warm-up."""

    def end(path: str, count: int, seconds: float) -> Says:
        if count == 15:
            send_to_processes("load_tests", number)
        return Says()

    options = ("--steps", "10,40", "--arrivals", "constant", "--duration", "1s", "--warmup", "0s", "--slo", "p95=5s")
    with fake_service(end) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path, *options)
    assert code == 130, text
    assert text.splitlines()[-1] == "stopped"
    assert "KeyboardInterrupt" not in text
    assert [phase["name"] for phase in summary["phases"]] == ["step 10"]
    assert summary["phases"][0]["ok"] == 10
    assert (summary["met"], summary["stopped"]) == (False, True)
    assert summary["faults"] == ["stopped before its end"]
    assert "step 10" in (tmp_path / "report.html").read_text()


def test_what_a_soak_had_measured_is_kept(pictures: Path, tmp_path: Path) -> None:
    def end(path: str, count: int, seconds: float) -> Says:
        if count == 140:
            send_to_processes("load_tests", signal.SIGINT)
        return Says()

    options = ("--soak", "60s", "--rate", 20, "--arrivals", "constant", "--warmup", "1s", "--processes", 2)
    with fake_service(end) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path, *options)
    (phase,) = summary["phases"]
    assert code == 130, text
    assert 2 <= phase["seconds"] <= 7
    assert phase["ok"] == phase["due"] == pytest.approx(20 * phase["seconds"], abs=2)
    assert phase["good_per_second"] == pytest.approx(20, abs=2)
    assert summary["faults"] == ["stopped before its end"]


def test_a_service_that_hangs_is_not_told_as_one_that_answers(pictures: Path, tmp_path: Path) -> None:
    """From the 61st request of 20 a second on nothing is answered; stopped after the 140th."""
    released = threading.Event()
    (tmp_path / "temp").mkdir()

    def hang(path: str, count: int, seconds: float) -> Says:
        if count == 141:
            send_to_processes("load_tests", signal.SIGTERM)
        if count > 61:
            released.wait(60)
        return Says()

    options = ("--soak", "60s", "--rate", 20, "--arrivals", "constant", "--warmup", "1s", "--temp", tmp_path / "temp")
    with fake_service(hang) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path / "out", *options)
        released.set()
    (phase,) = summary["phases"]
    assert code == 130, text
    assert phase["seconds"] <= 2.5
    assert phase["ok"] == phase["due"] > 0
    stopped, unanswered = summary["faults"]
    assert stopped == "stopped before its end"
    assert re.fullmatch(r"[4-9]\d requests had no answer yet, the first for [34567] s", unanswered)
    assert summary["soak"]["files_left"] is None
    assert phase["generator"]["cpu_ms_per_request"] > 0.05
    assert "files left" not in text


def test_a_second_signal_does_not_lose_what_was_measured(pictures: Path, tmp_path: Path) -> None:
    def end(path: str, count: int, seconds: float) -> Says:
        if count == 100:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
                send_to_processes("load_tests", number)
        return Says()

    options = ("--soak", "60s", "--rate", 20, "--arrivals", "constant", "--warmup", "1s")
    with fake_service(end) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path, *options)
    assert code == 130, text
    assert summary["phases"][0]["ok"] > 20
    assert text.splitlines()[-1] == "stopped"


def test_an_earlier_runs_files_are_not_taken_for_this_ones(pictures: Path, tmp_path: Path) -> None:
    for name in ("report.html", "summary.json"):
        (tmp_path / name).write_text("{}")

    def end(path: str, count: int, seconds: float) -> Says:
        if count == 5:
            send_to_processes("load_tests.worker", signal.SIGKILL)
        return Says()

    assert load_test("http://127.0.0.1:1", pictures, tmp_path)[0] == 1
    assert len(list(tmp_path.iterdir())) == 2  # nothing was begun
    with fake_service(end) as service:
        assert load_test(service.url, pictures, tmp_path, "--rate", 50)[0] == 1
    assert list(tmp_path.iterdir()) == []
