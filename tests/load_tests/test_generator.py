"""What the generator makes of services that are known to be slow, wrong, broken or gone."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.load_tests.measuring import ANSWER, Behaviour, Says, fake_service, load_test
from tests.pictures import plain

STALL_AFTER, STALL = 1.0, 1.0
"""Who comes so many seconds after the first request of the load is not answered for so long, nor is who comes then."""


def prompt(path: str, number: int, seconds: float) -> Says:
    return Says()


class Stalling:
    """Prompt, but for one second: whoever comes then waits for its end."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.ends: float | None = None
        self.lock = threading.Lock()

    def __call__(self, path: str, number: int, seconds: float) -> Says:
        if number == 1:  # the question before the load
            return Says()
        with self.lock:
            now = time.monotonic()
            self.began = self.began or now
            if self.ends is None and now >= self.began + STALL_AFTER:
                self.ends = now + STALL
        if self.ends is not None:
            time.sleep(max(0.0, self.ends - now))
        return Says()


def test_a_stall_is_charged_for_all_who_were_due_in_it(pictures: Path, tmp_path: Path) -> None:
    """100 of 300 requests were due in the stall, and wait half a second each in the mean."""
    options = ("--rate", 100, "--arrivals", "constant", "--duration", "3s", "--warmup", "0s", "--slo", "p95=300ms")
    with fake_service(Stalling()) as service:
        code, summary, _ = load_test(service.url, pictures, tmp_path, *options)
    (phase,) = summary["phases"]
    assert code == 1
    assert phase["due"] == phase["ok"] == 300
    assert phase["latency_ms"]["p90"] > 600
    assert phase["latency_ms"]["max"] > 900
    assert phase["latency_ms"]["mean"] > 100


def test_a_closed_loop_hides_the_same_stall(pictures: Path, tmp_path: Path) -> None:
    """Why there is an open loop: two clients that wait see the stall twice among hundreds of answers."""
    options = ("--mode", "closed", "--users", 2, "--duration", "3s", "--warmup", "0s", "--slo", "p90=600ms")
    with fake_service(Stalling()) as service:
        code, summary, _ = load_test(service.url, pictures, tmp_path, *options)
    (phase,) = summary["phases"]
    assert code == 0
    assert phase["latency_ms"]["p90"] < 600
    assert phase["latency_ms"]["max"] > 900


def test_what_is_due_beyond_the_bound_is_an_error(pictures: Path, tmp_path: Path) -> None:
    options = ("--rate", 100, "--arrivals", "constant", "--duration", "3s", "--warmup", "0s", "--outstanding", 10)
    with fake_service(Stalling()) as service:
        code, summary, _ = load_test(service.url, pictures, tmp_path, *options)
    (phase,) = summary["phases"]
    assert code == 1
    assert 50 <= phase["errors"]["not sent"] < 200  # 90 were due beyond it; a busy machine stalls a little more
    assert phase["due"] == 300
    assert phase["ok"] == 300 - phase["errors"]["not sent"]


def faulty(path: str, number: int, seconds: float) -> Says:
    """Of ten answers one has another class, one another probability, one is a 500, one a 429, one is cut off."""
    faults = {
        0: Says(200, {"predictions": [{"label": "bees", "probability": 0.75}]}),
        2: Says(200, {"predictions": [{"label": "ants", "probability": 0.7}]}),
        4: Says(500, {"detail": "oops"}),
        6: Says(429, {"detail": "later"}),
        8: Says(200, ANSWER, length=10_000),
    }
    return faults.get((number - 2) % 10, Says())


def test_every_fault_is_found_told_and_makes_the_exit_code(pictures: Path, tmp_path: Path) -> None:
    options = ("--rate", 100, "--arrivals", "constant", "--duration", "2s", "--warmup", "0s", "--processes", 2)
    with fake_service(faulty) as service:
        code, summary, _ = load_test(service.url, pictures, tmp_path, *options)
    (phase,) = summary["phases"]
    assert code == 1
    assert summary["generator"]["processes"] == 2
    assert phase["errors"] == {"wrong answer": 40, "status 500": 20, "refused 429": 20, "connection cut": 20}
    assert (phase["due"], phase["ok"], phase["error_share"]) == (200, 100, 0.5)
    assert phase["refused_ms"]["count"] == 20
    assert sum(row["due"] for row in phase["kinds"].values()) == 200
    report = (tmp_path / "report.html").read_text()
    for text in ("bees", "0.7", "only.png: 500 instead of 200: oops", "later", "connection cut"):
        assert text in report


def refusing(path: str, number: int, seconds: float) -> Says:
    return Says() if number % 4 else Says(429, {"detail": "later"})


def test_errors_within_the_objective_are_no_fault(pictures: Path, tmp_path: Path) -> None:
    options = ("--rate", 80, "--duration", "1s", "--warmup", "0s", "--slo", "p50=5s,errors=40%")
    with fake_service(refusing) as service:
        code, summary, _ = load_test(service.url, pictures, tmp_path, *options)
    assert code == 0
    assert summary["met"]


def test_no_answer_in_time_is_an_error(pictures: Path, tmp_path: Path) -> None:
    def slow(path: str, number: int, seconds: float) -> Says:
        if number > 1:
            time.sleep(1)
        return Says()

    options = ("--rate", 20, "--duration", "500ms", "--warmup", "0s", "--timeout", "200ms")
    with fake_service(slow) as service:
        code, summary, _ = load_test(service.url, pictures, tmp_path, *options)
    assert code == 1
    assert set(summary["phases"][0]["errors"]) == {"no answer in time"}


def test_a_service_that_is_gone_is_no_hang(pictures: Path, tmp_path: Path) -> None:
    answers = tmp_path / "expected.jsonl"
    answers.write_text('{"image": "only.png", "predictions": [{"label": "ants", "probability": 0.75}]}\n')

    def vanish(path: str, number: int, seconds: float) -> Says:
        service.socket.close()
        return Says(200, ANSWER, length=10_000)

    options = ("--rate", 50, "--duration", "1s", "--warmup", "0s", "--expected", answers)
    with fake_service(vanish) as service:
        code, summary, _ = load_test(service.url, pictures, tmp_path, *options)
        service.socket.close()
    assert code == 1
    assert summary["phases"][0]["ok"] == 0
    assert summary["phases"][0]["errors"]["no connection"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--slo", "p95=100"), "not a time with its unit"),
        (("--pid", 99_999_999), "no such process"),
        (("--temp", "/no/such/folder"), "no such folder"),
        (("--model", "other"), "the service has fake"),
        (("--expected", "/no/such/file"), "No such file"),
        (("--hostile", "/no/such/file", "--scenario", "hostile"), "No such file"),
    ],
)
def test_bad_input_is_one_line(options: tuple[object, ...], said: str, pictures: Path, tmp_path: Path) -> None:
    with fake_service(prompt) as service:
        code, _, text = load_test(service.url, pictures, tmp_path / "out", *options)
    assert (code, len(text.splitlines())) == (2, 1), text
    assert text.startswith("error: ")
    assert said in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("somewhere", 2, "an address like http://127.0.0.1:3000 was expected"),
        ("ftp://127.0.0.1", 2, "an address like"),
        ("http://127.0.0.1:99999", 2, "an address like"),
        ("http://127.0.0.1:1", 1, "no answer from a Convoy service there"),
    ],
)
def test_a_bad_address_is_one_line(url: str, code: int, said: str, pictures: Path, tmp_path: Path) -> None:
    found, _, text = load_test(url, pictures, tmp_path / "out")
    assert (found, len(text.splitlines())) == (code, 1), text
    assert said in text


def test_another_kind_of_server_is_one_line(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.load_tests.measuring.MODELS", ["something else"])
    with fake_service(prompt) as service:
        code, _, text = load_test(service.url, pictures, tmp_path / "out")
    assert (code, len(text.splitlines())) == (1, 1), text
    assert "no list of models" in text


def test_a_folder_without_pictures_is_one_line(tmp_path: Path) -> None:
    with fake_service(prompt) as service:
        code, _, text = load_test(service.url, tmp_path, tmp_path / "out")
    assert (code, len(text.splitlines())) == (2, 1), text
    assert "no images" in text


def test_pictures_that_the_service_does_not_read_are_left_out(tmp_path: Path) -> None:
    def choosy(path: str, number: int, seconds: float) -> Says:
        return Says(422, {"detail": "the image's pixels cannot be decoded"})

    (tmp_path / "bad.png").write_bytes(b"x")
    with fake_service(choosy) as service:
        code, _, text = load_test(service.url, tmp_path, tmp_path / "out")
    assert (code, len(text.splitlines())) == (2, 1), text
    assert "the service reads none of them: bad.png: 422 the image's pixels cannot be decoded" in text


def test_a_file_that_stays_is_a_fault(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "temp").mkdir()

    def leaking(path: str, number: int, seconds: float) -> Says:
        if number > 1:  # the question before the load
            (tmp_path / "temp" / "upload").touch()
        return Says()

    options = ("--rate", 50, "--duration", "500ms", "--warmup", "0s", "--temp", tmp_path / "temp")
    with fake_service(leaking) as service:
        code, summary, _ = load_test(service.url, pictures, tmp_path, *options)
    assert code == 1
    assert summary["faults"] == [f"1 files stayed in {tmp_path / 'temp'}"]


PICTURES = 12
KNEE_OF_TEN = ("--steps", 10, "--refine", 0, "--knee-check", "--slo", "p95=5s,errors=1%")
TWO_SECONDS = ("--arrivals", "constant", "--duration", "2s", "--warmup", "0s")
BEFORE_THE_LOAD, STEP, BELOW, ABOVE = PICTURES, 20, 16, 40
"""Requests: each picture once before the load, the step, 80 % of the knee, and twice the knee."""


def slow_in(first: int, last: int, seconds: float) -> Behaviour:
    """Prompt, but for the requests of these numbers after the step."""

    def behave(path: str, number: int, since: float) -> Says:
        time.sleep(seconds if first <= number - BEFORE_THE_LOAD - STEP <= last else 0.0)
        return Says()

    return behave


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    for number in range(PICTURES):
        plain("red", seed=number).save(tmp_path / f"{number}.png")
    return tmp_path


def differing(some: Sequence[bytes], others: Sequence[bytes]) -> int:
    """How many of some are not among as many others, in whatever order: on a busy machine they overtake each other."""
    return (Counter(some) - Counter(others)).total()


def test_what_follows_an_overload_was_sent_before_it_as_well(coloured: Path) -> None:
    """All before the overload take so long that a busy machine's pauses after it are not slower than usual."""
    with fake_service(slow_in(1, BELOW, 0.5)) as service:
        code, summary, text = load_test(service.url, coloured, coloured / "out", *KNEE_OF_TEN, *TWO_SECONDS)
        bodies = service.bodies[BEFORE_THE_LOAD + STEP :]
    assert code == 0, text
    assert len(bodies) == BELOW + ABOVE + BELOW
    assert differing(bodies[:BELOW], bodies[-BELOW:]) <= 2
    assert differing(bodies[:BELOW], bodies[BELOW : 2 * BELOW]) > 4
    assert summary["overload"]["normal_again_after_s"] == 0.0


def test_that_also_holds_where_some_could_not_be_sent(coloured: Path) -> None:
    """The first of twice the knee take a second each, ten at a time: the others, and who comes next, wait."""
    options = (*KNEE_OF_TEN, *TWO_SECONDS, "--outstanding", 10)
    with fake_service(slow_in(BELOW + 1, BELOW + 20, 1.0)) as service:
        _, summary, text = load_test(service.url, coloured, coloured / "out", *options)
        bodies = service.bodies[BEFORE_THE_LOAD + STEP :]
    assert summary["overload"]["at_200_percent"]["errors"]["not sent"] > 10, text
    assert differing(bodies[-10:], bodies[BELOW - 10 : BELOW]) <= 2


def test_who_waits_longer_after_an_overload_than_before_it_is_told(coloured: Path) -> None:
    """The first second after it is slow."""
    end = BELOW + ABOVE
    with fake_service(slow_in(end + 1, end + BELOW // 2, 2.0)) as service:
        _, summary, text = load_test(service.url, coloured, coloured / "out", *KNEE_OF_TEN, *TWO_SECONDS)
    again = summary["overload"]["normal_again_after_s"]
    assert again is None or again >= 1.0, text
