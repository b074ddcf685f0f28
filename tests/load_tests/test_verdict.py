"""What a load test says and with which code it ends, in a terminal and to a pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load_tests.measuring import ANSWER, Says, fake_service, load_test
from tests.pictures import plain


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    plain("red").save(folder / "only.png")
    return folder


STEPS = ("--steps", "10,20", "--refine", 0, "--duration", "1s", "--warmup", "0s", "--arrivals", "constant")


@pytest.mark.parametrize(("length", "kind"), [(None, "no connection"), (10_000, "connection cut")])
def test_a_service_that_goes_or_hangs_up_beyond_the_knee_is_a_fault(
    length: int | None, kind: str, pictures: Path, tmp_path: Path
) -> None:
    """The question before the load and the first step are answered, and nothing after."""

    def vanish(path: str, number: int, seconds: float) -> Says:
        if number == 11 and length is None:
            service.socket.close()
            return Says(length=10_000)  # this connection must not be used again either
        return Says() if number <= 11 else Says(length=length)

    with fake_service(vanish) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path, *STEPS, "--slo", "p95=5s,errors=20%")
        service.socket.close()
    assert summary["knee"] == {"load": 10, "first_bad": 20}, text
    assert code == 1
    assert any(fault.startswith(f"{kind}: ") for fault in summary["faults"]), summary["faults"]


def test_a_service_that_is_late_or_refuses_beyond_the_knee_is_none(pictures: Path, tmp_path: Path) -> None:
    def full(path: str, number: int, seconds: float) -> Says:
        return Says() if number <= 11 else Says(429, {"detail": "later"})

    with fake_service(full) as service:
        code, summary, text = load_test(service.url, pictures, tmp_path, *STEPS, "--slo", "p95=5s")
    assert (code, summary["faults"]) == (0, []), text
    assert summary["knee"] == {"load": 10, "first_bad": 20}
    assert summary["errors"] == [{"kind": "refused 429", "count": 20, "examples": ["later"]}]
    assert "refused 429: 20, such as later" in text


def test_the_terminal_says_which_errors_there_were(pictures: Path, tmp_path: Path) -> None:
    def faulty(path: str, number: int, seconds: float) -> Says:
        faults = {2: Says(500, {"detail": "oops"}), 3: Says(200, {**ANSWER, "predictions": [wrong]})}
        return faults.get(number, Says() if number == 1 else Says(413, {"detail": "too large"}))

    wrong = {"label": "ants", "index": 0, "probability": 0.25}
    options = ("--rate", 10, "--arrivals", "constant", "--duration", "1s", "--warmup", "0s")
    with fake_service(faulty) as service:
        code, _, text = load_test(service.url, pictures, tmp_path, *options)
    assert code == 1
    assert "status 413: 8, such as only.png: 413 instead of 200: too large" in text
    assert "status 500: 1, such as only.png: 500 instead of 200: oops" in text
    assert "wrong answer: 1, such as only.png: 'ants' 0.25000 instead of 'ants' 0.75000" in text
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
