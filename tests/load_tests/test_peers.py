"""The comparison with other frameworks: what its figures mean, and what becomes of its servers."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from PIL import Image

from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess
from load_tests.answers import Expected
from scripts import peer_environments
from scripts.limit import Limit
from scripts.peer_environments import PEERS, EnvironmentFailed, make
from scripts.peer_servers import PEERS_BY_NAME, Contender, NotStarted, Server, idle_cores
from scripts.peer_turns import (
    Turn,
    as_bytes,
    best_peer,
    is_right,
    order,
    ratio,
    summary,
    take_turn,
    turn_seconds,
)
from scripts.peers_benchmark import Field, Record, answers, measure
from tests.pictures import encode, plain
from tests.service.conftest import Served, plainly_served

ROOT = Path(__file__).resolve().parents[2]
RED, GREEN = encode(plain("red")), encode(plain("green"))
ANSWER = {"predictions": [{"label": "red", "probability": 0.9}, {"label": "blue", "probability": 0.1}]}


@pytest.fixture(scope="module")
def service(tiny_bundle: Path) -> Iterator[Served]:
    with plainly_served(tiny_bundle) as running:
        yield running


def turn(rate: float, wrong: int = 0, cpu_ms: float | None = None, **statuses: int) -> Turn:
    found = {name.removeprefix("s"): count for name, count in statuses.items()} or {"200": 1}
    return Turn(rate, [1000 / rate], found, wrong, 0.02, cpu_ms)


def test_nobody_always_comes_first_or_follows_the_same_neighbour() -> None:
    names = ["a", "b", "c", "d"]
    rounds = [order(names, number) for number in range(8)]
    assert all(sorted(each) == names for each in rounds)
    assert {each[0] for each in rounds} >= {"a", "c"}
    before_b = {each[each.index("b") - 1] for each in rounds if each[0] != "b"}
    assert before_b == {"a", "c"}
    assert order([], 3) == []


def test_a_turn_is_long_enough_for_eight_answers_to_each_connection() -> None:
    assert turn_seconds(8, limit=50, at_least=2) == 2
    assert turn_seconds(64, limit=50, at_least=2) == 10.2


def test_a_share_is_of_the_limit_of_its_own_round() -> None:
    found = summary([turn(80, cpu_ms=12), turn(40), turn(90, cpu_ms=14)], [100, 50, 100])
    assert found["cpu_ms_per_answer"] == 13
    assert found["rounds_share_of_limit"] == [0.8, 0.8, 0.9]
    assert found["share_of_limit"] == 0.8
    assert found["images_per_second"] == 80


def test_refusals_are_neither_errors_nor_images() -> None:
    found = summary([turn(10, s200=5, s429=3), turn(10, wrong=1, s200=4, s500=2)], [10, 10])
    assert (found["answers"], found["refused"], found["errors"], found["wrong_answers"]) == (9, 3, 2, 1)


def test_the_best_peer_is_the_fastest_that_answers_rightly() -> None:
    servers = {
        "convoy": summary([turn(100), turn(60)], [100, 100]),
        "fast": summary([turn(99, wrong=1), turn(99)], [100, 100]),
        "right": summary([turn(50), turn(40)], [100, 100]),
        "slow": summary([turn(10), turn(10)], [100, 100]),
    }
    assert best_peer(servers, ["convoy"]) == "right"
    assert ratio(servers, "convoy", "right") == 1.75
    assert best_peer({"convoy": servers["convoy"]}, ["convoy"]) is None


@pytest.mark.parametrize(
    ("body", "right"),
    [
        (json.dumps(ANSWER), True),
        (json.dumps([ANSWER]), True),
        (json.dumps([ANSWER, ANSWER]), False),
        (json.dumps(ANSWER).replace("red", "green"), False),
        (json.dumps(ANSWER).replace("0.9", "0.8"), False),
        ("oops", False),
        ("[]", False),
    ],
)
def test_an_answer_is_right_by_class_and_probability(body: str, right: bool) -> None:
    assert is_right(body.encode(), Expected("red", 0.9)) is right


def test_every_answer_of_a_turn_is_compared_with_its_own_picture(tiny_bundle: Path, service: Served) -> None:
    expected = answers(Limit(tiny_bundle, [RED, GREEN]), 2)
    assert [each.label for each in expected] == ["red", "green"]
    server = Server(PEERS_BY_NAME["fastapi-body"], Path(sys.executable), tiny_bundle, Path("log"), port=service.port)
    requests = [as_bytes(server.request(picture)) for picture in (RED, GREEN)]
    good = take_turn(service.url, requests, expected, 3, 0.4)
    assert good.images_per_second > 0
    assert (good.wrong, set(good.statuses)) == (0, {"200"})
    swapped = take_turn(service.url, requests, expected[::-1], 2, 0.2)
    assert swapped.wrong == swapped.statuses["200"]


def test_a_form_names_its_field_and_its_picture(tiny_bundle: Path) -> None:
    server = Server(PEERS_BY_NAME["bentoml-batchable"], Path(sys.executable), tiny_bundle, Path("log"), port=1)
    head, _, body = as_bytes(server.request(RED)).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head.lower()
    assert b'name="images"' in body
    assert RED in body


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path) -> ModuleType:
    monkeypatch.setenv("PEERS_CORES", "2")
    monkeypatch.setenv("PEERS_MODEL", str(tiny_bundle / "model.onnx"))
    monkeypatch.setenv("PEERS_MANIFEST", str(tiny_bundle / "manifest.json"))
    monkeypatch.syspath_prepend(str(PEERS))
    return importlib.import_module("classifier")


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (333, 501), (64, 64), (11, 200)])
def test_peers_see_the_pixels_that_the_bundle_sees(classifier: ModuleType, size: tuple[int, int]) -> None:
    image = plain("green", *size)
    peer = classifier.Classifier()
    spec = Preprocess(resize=peer.resize, crop=peer.crop, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert (peer.pixels(image) == preprocess(image, spec)).all()
    assert peer.classify(Image.merge("RGB", image.split()))["predictions"][0]["label"] == "green"


def test_peers_turn_pictures_upright_too(classifier: ModuleType) -> None:
    image = plain("green", 50, 30)
    image.putpixel((0, 0), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = 6
    data = BytesIO()
    image.save(data, "PNG", exif=exif)
    peer = classifier.Classifier()
    spec = Preprocess(resize=peer.resize, crop=peer.crop, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert (peer.pixels(Image.open(data)) == preprocess(decode(data.getvalue()), spec)).all()


PARENT = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"],
    start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""


def wait_for_status(process: psutil.Process, status: str) -> None:
    """A signal arrives a moment after it was sent."""
    until = time.monotonic() + 10
    while process.status() != status:
        assert time.monotonic() < until, process.status()


def started(tmp_path: Path, tiny_bundle: Path, program: str) -> Server:
    return Server(contender("stand-in", program), Path(sys.executable), tiny_bundle, tmp_path / "log")


def test_a_server_is_ended_with_all_its_processes(tmp_path: Path, tiny_bundle: Path) -> None:
    server = started(tmp_path, tiny_bundle, PARENT)
    try:
        server.start(RED)
        processes = server.processes()
        assert len(processes) == 2
        server.pause()
        for process in processes:
            wait_for_status(process, psutil.STATUS_STOPPED)
        assert idle_cores([server], 0.1) == {"stand-in": 0.0}
    finally:
        server.stop()
    assert not server.up
    assert not any(process.is_running() for process in processes)


def test_what_a_dead_server_left_is_ended_too(tmp_path: Path, tiny_bundle: Path) -> None:
    server = started(tmp_path, tiny_bundle, PARENT)
    try:
        server.start(RED)
        first, child = server.processes()
        first.kill()
        first.wait(10)
        assert child.is_running()
    finally:
        server.stop()
    assert not child.is_running()


def test_a_server_that_does_not_start_says_why(tmp_path: Path, tiny_bundle: Path) -> None:
    server = started(tmp_path, tiny_bundle, "import sys; sys.exit('no such model')")
    with pytest.raises(NotStarted, match="^stand-in: no such model$"):
        server.start(RED)
    assert server.processes() == []


def contender(name: str, program: str) -> Contender:
    return Contender(name, "fastapi", ("-c", program), None, "one thread", True)


@pytest.fixture
def field(tmp_path: Path, tiny_bundle: Path) -> Iterator[Field]:
    """One server that answers everything with nothing, one that does not start."""
    field = Field(tiny_bundle, [RED, GREEN])
    try:
        field.enter(contender("empty", PARENT), Path(sys.executable), tmp_path)
        field.enter(contender("broken", "import sys; sys.exit('no such model')"), Path(sys.executable), tmp_path)
        yield field
    finally:
        field.close()


def test_a_server_that_does_not_start_is_named_and_the_rest_goes_on(field: Field) -> None:
    row = measure(field, 2, 2, 0.4)
    assert row["left_out"] == {"broken": "broken: no such model"}
    assert set(row["servers"]) == {"empty"}
    assert row["servers"]["empty"]["wrong_answers"] == row["servers"]["empty"]["answers"] > 0
    assert (row["best_peer"], row["ratio_to_best_peer"]) == (None, {})
    assert row["limits_images_per_second"]["onnx"] > 0


def test_a_server_that_died_is_started_again_for_its_next_turn(field: Field) -> None:
    before = field.entrants["empty"].server.processes()
    before[0].kill()
    before[0].wait(10)
    found = field.take("empty", 1, 0.2)
    assert found is not None
    assert found.statuses["200"] > 0
    assert not any(process.is_running() for process in before)


def test_a_restless_server_is_paused_but_for_its_turns(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.peers_benchmark.idle_cores", lambda servers, seconds: {"empty": 0.2})
    field.settle()
    server = field.entrants["empty"].server
    assert server.paused
    found = field.take("empty", 1, 0.2)
    assert found is not None
    assert found.statuses["200"] > 0
    assert server.paused


def test_an_environment_is_made_again_only_for_other_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    failing = subprocess.CompletedProcess([], 1, "", "a line\nERROR: No matching distribution\n\n")
    outcomes = [failing, subprocess.CompletedProcess([], 0, "", "")]

    def pip(command: list[str], **_: object) -> Any:
        calls.append(command)
        return outcomes[min(len(calls), 2) - 1]

    monkeypatch.setattr(peer_environments.venv, "create", lambda home, **_: home.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(peer_environments.subprocess, "run", pip)
    with pytest.raises(EnvironmentFailed, match="^litserve: pip: ERROR: No matching distribution$"):
        make("litserve", tmp_path)
    make("litserve", tmp_path)
    make("litserve", tmp_path)
    assert len(calls) == 2
    (tmp_path / "litserve" / "requirements.txt").write_text("litserve==0.1\n")
    make("litserve", tmp_path)
    assert len(calls) == 3


def test_requirements_are_names_and_exact_versions_without_torch() -> None:
    for framework in {contender.framework for contender in PEERS_BY_NAME.values()}:
        lines = (PEERS / framework / "requirements.txt").read_text().splitlines()
        pins = dict(line.split("==") for line in lines if not line.startswith("#"))
        assert {framework, "onnxruntime", "numpy", "pillow"} <= {name.lower() for name in pins}
        assert not {name for name in pins if name.startswith(("torch", "nvidia-cu", "triton"))}


def test_finished_rows_are_kept_and_not_measured_again(tmp_path: Path) -> None:
    key = {"model": "m", "entered": ["convoy"], "rounds": 5}
    record = Record(tmp_path / "peers.json")
    assert not record.has({**key, "connections": 8})
    record.add({**key, "connections": 8, "turn_seconds": 2.0, "limit": 1})
    record.add({**key, "connections": 32, "limit": 2})
    again = Record(tmp_path / "peers.json")
    assert again.has({**key, "connections": 8})
    assert not again.has({**key, "rounds": 3, "connections": 8})
    assert not again.has({**key, "connections": 32})
    again.add({**key, "connections": 8, "limit": 3})
    assert [row["limit"] for row in Record(tmp_path / "peers.json").rows] == [2, 3]


@pytest.mark.slow
def test_the_comparison_runs(tiny_bundle: Path, tmp_path: Path) -> None:
    """The whole driver, with environments of two frameworks; one of them is paused between its turns."""
    out = tmp_path / "peers.json"
    command = [sys.executable, "-m", "scripts.peers_benchmark", str(tiny_bundle), "--images", str(tiny_bundle)]
    options = [
        "--artefact",
        "fp32",
        "default",
        "--peers",
        "fastapi",
        "litserve-batches",
        "--rounds",
        "2",
        "--seconds",
        "0.8",
        "--connections",
        "2",
    ]
    before = time.time()
    result = subprocess.run(
        [*command, *options, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=590
    )
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(out.read_text())["rows"]
    if any("pip" in reason for reason in row["left_out"].values()):
        pytest.skip(f"no environment: {row['left_out']}")
    assert set(row["servers"]) == {"convoy", "convoy-auto", "fastapi", "litserve-batches"}
    assert row["ratio_to_best_peer"].keys() == {"convoy", "convoy-auto"}
    for name, found in row["servers"].items():
        assert found["answers"] > 0, name
        assert (found["wrong_answers"], found["errors"]) == (0, 0), name
        assert found["cpu_ms_per_answer"] > 0, name
    assert row["best_peer"] in ("fastapi", "litserve-batches")
    assert row["about"]["litserve-batches"]["paused_between_turns"]
    assert "minutes" in result.stderr
    left = [process for process in psutil.process_iter(["create_time", "exe"]) if process.info["create_time"] > before]
    assert not [process for process in left if ".venv-peers" in (process.info["exe"] or "")]
