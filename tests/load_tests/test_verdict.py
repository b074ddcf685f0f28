"""What a load test says and with which code it ends, in a terminal and to a pipeline."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from load_tests.hostile import hostile_cases
from load_tests.scenarios import read_material
from load_tests.target import Target
from tests.load_tests.measuring import ANSWER, ROOT, Says, fake_service, load_test
from tests.pictures import plain
from tests.serving import free_port

STEPS = ("--steps", "10,20", "--refine", 0, "--duration", "1s", "--warmup", "0s", "--arrivals", "constant")


@pytest.mark.parametrize(("gone", "kind"), [(True, "no connection"), (False, "connection cut")])
def test_a_service_that_goes_or_hangs_up_beyond_the_knee_is_a_fault(
    gone: bool, kind: str, pictures: Path, tmp_path: Path
) -> None:
    """The question before the load and the first step are answered, and nothing after."""

    def vanish(path: str, number: int, seconds: float) -> Says:
        if number == 11 and gone:
            service.socket.close()
        return Says() if number <= 11 else Says(length=10_000)  # nor may any other

    with fake_service(vanish) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path, *STEPS, "--slo", "p95=5s,errors=20%")
        service.socket.close()
    assert summary["knee"] == {"load": 10, "first_bad": 20}, text
    assert code == 1
    assert any(fault.startswith(f"{kind}: ") for fault in summary["faults"]), summary["faults"]


def test_a_service_that_refuses_or_is_late_beyond_the_knee_is_none(pictures: Path, tmp_path: Path) -> None:
    def full(path: str, number: int, seconds: float) -> Says:
        if number == 31:
            time.sleep(3)
        return Says() if number <= 11 else Says(429, {"detail": "later,\nplease"})

    options = ("--slo", "p95=5s", "--timeout", "2s")
    with fake_service(full) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path, *STEPS, *options)
    assert (code, summary["faults"]) == (0, []), text
    assert summary["knee"] == {"load": 10, "first_bad": 20}
    assert summary["errors"] == [
        {"kind": "refused 429", "count": 19, "examples": ["later, please"]},
        {"kind": "no answer in time", "count": 1, "examples": ["none within 2 s"]},
    ]
    assert "refused 429: 19, for example: later, please" in text


def test_the_terminal_says_which_errors_there_were(pictures: Path, tmp_path: Path) -> None:
    def faulty(path: str, number: int, seconds: float) -> Says:
        faults = {2: Says(500, {"detail": "oops"}), 3: Says(200, {**ANSWER, "predictions": [wrong]})}
        return faults.get(number, Says() if number == 1 else Says(413, {"detail": "too large"}))

    wrong = {"label": "ants", "index": 0, "probability": 0.25}
    options = ("--rate", 10, "--arrivals", "constant", "--duration", "1s", "--warmup", "0s")
    with fake_service(faulty) as service:
        code, _, text = load_test(service.url, pictures, tmp_path, *options)
    assert code == 1
    assert "status 413: 8, for example: only.png: 413 instead of 200: too large" in text
    assert "status 500: 1, for example: only.png: 500 instead of 200: oops" in text
    assert "wrong answer: 1, for example: only.png: 'ants' 0.25000 instead of 'ants' 0.75000" in text
    assert "100 %" in text
    assert "1e+02" not in text


def test_a_load_in_which_nothing_was_due_is_not_told_as_errors(pictures: Path, tmp_path: Path) -> None:
    options = ("--rate", 1, "--duration", "1s", "--warmup", "900ms", "--arrivals", "constant")
    with fake_service(lambda *_: Says()) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path, *options)
    assert (code, summary["faults"]) == (1, ["no request was due: a longer load is needed"])
    assert "errors 100" not in text
    assert "none due" in text
    assert "none due" in (tmp_path / "report.html").read_text()


def test_pictures_that_are_not_sent_are_told(tmp_path: Path) -> None:
    for colour in ("red", "green", "blue"):
        plain(colour).save(tmp_path / f"{colour}.png")
    line = '{"image": "red.png", "predictions": [{"label": "ants", "probability": 0.75}]}'
    (tmp_path / "expected.jsonl").write_text(line)
    options = ("--expected", tmp_path / "expected.jsonl", "--rate", 10, "--duration", "500ms", "--warmup", "0s")
    with fake_service(lambda *_: Says()) as service:
        code, _, text = load_test(service.url, tmp_path, tmp_path / "out", *options)
    assert code == 0, text
    assert f"left out: 2 of 3 pictures: not in {tmp_path / 'expected.jsonl'}" in text


def test_more_pictures_than_are_worth_holding_are_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        plain("red", seed=number).save(tmp_path / f"{number}.png")
    monkeypatch.setattr("load_tests.scenarios.MOST_PICTURES", 3)
    with fake_service(lambda *_: Says()) as service:
        material = read_material(Target(service.url), "fake", tmp_path, None, hostile=None, batch_size=1)
    assert [picture.name for picture in material.pictures] == ["0.png", "2.png", "4.png"]
    assert material.left_out == ["4 of 7 pictures: no more are sent"]


@pytest.mark.parametrize(
    ("folder", "said"), [("none", "none: no such folder"), ("only.png", "only.png: not a folder"), (".", None)]
)
def test_the_folder_of_pictures_is_one(folder: str, said: str | None, pictures: Path, tmp_path: Path) -> None:
    options = ("--rate", 5, "--duration", "500ms", "--warmup", "0s", "--arrivals", "constant")
    with fake_service(lambda *_: Says()) as service:
        code, _, text = load_test(service.url, pictures / folder, tmp_path, *options)
    assert code == (0 if said is None else 2)
    assert said is None or text.strip().endswith(said)


@pytest.mark.parametrize(
    ("host", "reason"), [("127.0.0.1", "in use"), ("8.8.8.8", "assign"), ("nohost.invalid", "No such device")]
)
def test_an_address_that_cannot_be_listened_on_is_one_line(
    host: str, reason: str, pictures: Path, tmp_path: Path
) -> None:
    with fake_service(lambda *_: Says()) as service, socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"{host}:{taken.getsockname()[1]}"
        code, _, text = load_test(service.url, pictures, tmp_path, "--workers", 1, "--bind", where)
    assert code == 2, text
    assert text.splitlines()[-1].startswith(f"error: --bind {where}: cannot listen there: ")
    assert reason in text
    assert "Traceback" not in text


def test_a_worker_says_whom_it_waits_for_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, "-u", "-m", "load_tests.worker", f"127.0.0.1:{free_port()}"]
    worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline().startswith("waiting for a load test that is led from 127.0.0.1:")
    worker.send_signal(signal.SIGINT)
    _, errors = worker.communicate(timeout=30)
    assert worker.returncode == -signal.SIGINT
    assert errors == ""


def test_hostile_requests_that_were_never_sent_are_told(pictures: Path, tmp_path: Path) -> None:
    options = ("--scenario", "hostile", "--rate", 8, "--duration", "1s", "--warmup", "0s", "--arrivals", "constant")
    good = (pictures / "only.png").read_bytes()
    with fake_service(lambda *_: Says()) as service:
        _, summary, text = load_test(service.url, pictures, tmp_path, *options)
        sent = service.bodies[1:]
    names = {case.name for case in hostile_cases(good, "fake")}
    missing = summary["never_sent"]
    assert len(sent) == 8
    assert set(missing) <= names
    assert len(names) - 8 <= len(missing) < len(names)
    assert f"{len(missing)} hostile requests were never sent, such as {missing[0]}" in text


def test_a_generator_that_cannot_keep_up_says_so(pictures: Path, tmp_path: Path) -> None:
    options = ("--rate", 100_000, "--duration", "300ms", "--warmup", "0s", "--outstanding", 50)
    with fake_service(lambda *_: Says()) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path, *options)
    assert code == 1
    assert summary["phases"][0]["sent_late_ms"]["p50"] > 10
    assert "the generator could not keep up: requests of load were sent" in text
