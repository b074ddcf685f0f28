from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from load_tests.answers import Expected, WrongAnswer, check, find_images, first_of, read_expected
from tests.serving import Server, patient_server

ROOT = Path(__file__).resolve().parents[2]


def answer(label: str, *probabilities: float) -> dict:
    labels = [label, "other", "third"]
    return {"predictions": [{"label": name, "probability": p} for name, p in zip(labels, probabilities, strict=False)]}


def test_the_first_class_is_what_is_compared() -> None:
    assert first_of(answer("ants", 0.7, 0.3)) == Expected("ants", 0.7)
    check(answer("ants", 0.70005, 0.29995), Expected("ants", 0.7))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (answer("bees", 0.7, 0.3), "instead of"),
        (answer("ants", 0.71, 0.29), "instead of"),
        (answer("ants", 0.3, 0.7), "out of order"),
        (answer("ants", 0.9, 0.8), "above 1"),
        ({"predictions": []}, "not an answer"),
        ({"detail": "x"}, "not an answer"),
        (["x"], "not an answer"),
        (answer("ants", float("nan")), "above 1"),
    ],
)
def test_wrong_answers_are_found(wrong: object, message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        check(wrong, Expected("ants", 0.7))


def test_expected_answers_are_read_from_predict(tmp_path: Path) -> None:
    rows = [{"image": "a/1.png", **answer("ants", 0.9)}, {"image": "a/2.png", "error": "bad"}]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read_expected(tmp_path / "e.jsonl") == {"1.png": Expected("ants", 0.9)}
    (tmp_path / "e.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="line 1"):
        read_expected(tmp_path / "e.jsonl")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no images"):
        find_images(tmp_path)


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with patient_server(tiny_bundle, tmp_path_factory.mktemp("log") / "serve.log") as running:
        yield running


def locust(server: Server, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locust", "-f", "load_tests/locustfile.py", "--headless", "--only-summary"]
    load = ["-u", "4", "-r", "4", "-t", "2s", "--stop-timeout", "5", "--host", server.url]
    return subprocess.run([*command, *load, *options], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_locust_checks_every_answer(server: Server, tiny_bundle: Path, colours: Path, tmp_path: Path) -> None:
    images = colours / "val" / "red"
    predict = [sys.executable, "-m", "convoy.main", "predict", str(tiny_bundle), str(images), "--json"]
    expected = tmp_path / "expected.jsonl"
    expected.write_text(subprocess.run(predict, capture_output=True, text=True, check=True).stdout)
    for options in (("--images", str(images)), ("--images", str(images), "--expected", str(expected))):
        result = locust(server, *options)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "/predict multipart" in result.stdout + result.stderr


def test_locust_fails_on_a_wrong_answer(server: Server, tiny_bundle: Path, colours: Path, tmp_path: Path) -> None:
    images = colours / "val" / "red"
    wrong = [{"image": path.name, **answer("green", 0.99, 0.01)} for path in images.iterdir()]
    (tmp_path / "wrong.jsonl").write_text("\n".join(map(json.dumps, wrong)))
    result = locust(server, "--images", str(images), "--expected", str(tmp_path / "wrong.jsonl"))
    assert result.returncode == 1
    assert "instead of" in result.stdout + result.stderr


@pytest.mark.parametrize("options", [("--images", "no/such/folder"), ("--images", "docs", "--expected", "README.md")])
def test_locust_says_in_one_line_what_it_cannot_read(server: Server, options: tuple[str, ...]) -> None:
    result = locust(server, *options)
    assert result.returncode == 1
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert options[-1] in line or "docs" in line
    assert "Traceback" not in result.stderr
