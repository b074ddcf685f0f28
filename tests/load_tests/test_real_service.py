"""Load tests of the real service with the tiny bundle."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.load_tests.measuring import ROOT, load_test
from tests.service.test_hostile import allowed
from tests.serving import Server, free_port, patient_server

QUICK = ("--duration", "1s", "--warmup", "200ms")


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("server")
    (home / "temp").mkdir()
    settings = {"TMPDIR": str(home / "temp"), "CONVOY_QUEUE": "1000"}
    with patient_server(tiny_bundle, home / "serve.log", **settings) as running:
        yield running


@pytest.mark.parametrize(
    ("scenario", "kinds"),
    [
        ("single", {"single, as the body", "single, as a form"}),
        ("batch", {"batch of 3"}),
        ("oip", {"OIP, one picture", "OIP, 3 pictures"}),
        ("mixed", {"small, 96 px", "middle, 640 px", "large, 2000 px"}),
        ("hostile", {"hostile", "single, as the body"}),
    ],
)
def test_every_scenario_is_answered_rightly(
    scenario: str, kinds: set[str], server: Server, colours: Path, tmp_path: Path
) -> None:
    rate = 4 if scenario == "mixed" else 40
    options = ("--scenario", scenario, "--rate", rate, "--batch-size", 3, "--duration", "2s", "--warmup", "200ms")
    code, summary, text = load_test(server.url, colours / "val", tmp_path, *options)
    assert code == 0, text
    (phase,) = summary["phases"]
    assert phase["errors"] == {}
    assert phase["ok"] == phase["due"] > 0
    assert set(phase["kinds"]) <= kinds
    assert phase["stages_ms"]["infer"]["pictures"] >= 1
    assert phase["generator"]["cpu_ms_per_request"] > 0


def test_answers_of_another_model_are_wrong(server: Server, colours: Path, tmp_path: Path) -> None:
    lines = [
        {"image": f"{number:03d}.png", "predictions": [{"label": "green", "probability": 0.99}]} for number in range(5)
    ]
    (tmp_path / "wrong.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = ("--expected", tmp_path / "wrong.jsonl", "--rate", 20, *QUICK)
    for scenario in ("single", "batch", "oip"):
        code, summary, text = load_test(
            server.url, colours / "val" / "red", tmp_path / scenario, "--scenario", scenario, *options
        )
        assert (code, "phases" in summary) == (1, True), text
        assert set(summary["phases"][0]["errors"]) == {"wrong answer"}


def test_the_knee_and_what_lies_around_it(server: Server, colours: Path, tmp_path: Path) -> None:
    options = ("--steps", "10,20", "--refine", 0, "--tries", 3, "--knee-check", "--slo", "p50=2s,errors=5%", *QUICK)
    code, summary, text = load_test(server.url, colours / "val", tmp_path, *options)
    assert code == 0, text
    assert summary["knee"] == {"load": 20, "first_bad": None}
    names = [phase["name"] for phase in summary["phases"] if "try" not in phase["name"]]
    assert names == ["step 10", "step 20", "80 % of the knee", "200 % of the knee"]
    overload = summary["overload"]
    assert overload["at_80_percent"]["load"] == pytest.approx(16)
    assert overload["at_80_percent"]["latency_ms"]["p99"] > 0
    assert overload["at_200_percent"]["load"] == pytest.approx(40)
    assert overload["at_200_percent"]["accepted_p99_ms"] > 0
    assert overload["at_200_percent"]["share_of_knee"] > 0
    assert overload["at_200_percent"]["refused"] == 0
    assert "normal_again_after_s" in overload
    assert summary["generator"]["share_of_cores"] > 0
    check_report((tmp_path / "report.html").read_text(), summary)


class Addresses(HTMLParser):
    """Everything that a browser would fetch, and the drawings' names."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.labels: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.fetched += [value for name in ("src", "href", "data") if (value := found.get(name))]
        self.fetched += [tag] if tag in ("script", "iframe", "object", "link") else []
        self.labels += [found["aria-label"] or ""] if tag == "svg" else []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def check_report(html: str, summary: dict) -> None:  # type: ignore[type-arg]
    page = Addresses()
    page.feed(html)
    assert page.fetched == []
    assert "url(" not in html
    assert "@import" not in html
    assert "prefers-color-scheme: dark" in html
    shown = " ".join(page.labels)
    for drawing in ("over time", "by its load, with the knee", "by percentile", "by stage"):
        assert drawing in shown
    text = " ".join(page.texts)
    assert f"knee: {summary['knee']['load']:g}/s" in text
    for phase in summary["phases"]:
        assert phase["name"] in text
        assert f"{phase['latency_ms']['p95']:.1f}" in text or phase["latency_ms"]["p95"] >= 100
    assert f"{summary['generator']['cpu_ms_per_request']:.2f} ms of CPU per request" in text


def test_a_soak_watches_memory_and_files(server: Server, colours: Path, tmp_path: Path) -> None:
    temp = server.log.parent / "temp"
    options = ("--soak", "5s", "--warmup", "500ms", "--rate", 20, "--pid", server.process.pid)
    code, summary, text = load_test(server.url, colours / "val", tmp_path / "out", *options, "--temp", temp)
    memory = summary["soak"]["memory_bytes"]
    assert memory["settled"] > 30e6
    assert summary["soak"]["files_left"] == []
    assert code == (0 if memory["growth"] <= 0.05 else 1), text
    assert "Memory of the service" in (tmp_path / "out" / "report.html").read_text()


def test_listed_hostile_files_get_their_statuses(
    server: Server, test_data: Path, colours: Path, tmp_path: Path
) -> None:
    with (test_data / "hostile_images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [f"{test_data / row['file']},{' '.join(map(str, sorted(allowed(row))))}" for row in rows]
    (tmp_path / "list.csv").write_text("\n".join(["file,status", *lines]))
    options = ("--scenario", "hostile", "--hostile", tmp_path / "list.csv", "--mode", "closed", "--users", 2)
    code, summary, text = load_test(server.url, colours / "val", tmp_path / "out", *options, "--duration", "4s")
    assert code == 0, text
    assert summary["phases"][0]["kinds"]["hostile"]["ok"] > 0
    lines[0] = lines[0].rpartition(",")[0] + ",418"
    (tmp_path / "list.csv").write_text("\n".join(["file,status", *[lines[0]] * 20]))
    code, summary, text = load_test(server.url, colours / "val", tmp_path / "out", *options, "--duration", "4s")
    assert code == 1
    assert any(kind.startswith("status 4") for kind in summary["phases"][0]["errors"])


def test_workers_join_over_the_network(server: Server, colours: Path, tmp_path: Path) -> None:
    where = f"127.0.0.1:{free_port()}"
    worker = [sys.executable, "-m", "load_tests.worker", where]
    workers = [subprocess.Popen(worker, cwd=ROOT) for _ in range(2)]
    options = ("--workers", 2, "--bind", where, "--rate", 40, *QUICK)
    code, summary, text = load_test(server.url, colours / "val", tmp_path, *options)
    assert code == 0, text
    assert summary["generator"]["remote"]
    assert summary["phases"][0]["due"] > 10
    assert "on the workers' machines" in text
    assert [process.wait(20) for process in workers] == [0, 0]


def test_the_generator_stays_on_its_cores(server: Server, colours: Path, tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    code, summary, text = load_test(server.url, colours / "val", tmp_path, "--rate", 20, *QUICK, "--cpus", core)
    assert code == 0, text
    assert summary["generator"]["cpus"] == [core]


def test_the_command_starts_the_generator(server: Server, colours: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "convoy.main", "loadtest", server.url, "--images", str(colours / "val"), "--json"]
    more = ["--rate", "20", "--duration", "1s", "--warmup", "200ms", "--out", str(tmp_path), "--slo", "p95=1us"]
    result = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    summary = json.loads(result.stdout)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert re.search(r"p95 [\d.]+ ms > 0.001 ms", summary["faults"][0])


def test_one_of_several_models_is_asked(tiny_bundle: Path, colours: Path, tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        shutil.copytree(tiny_bundle, tmp_path / "models" / name / "1")
    options = ("--model", "beta", "--rate", 60, "--duration", "2s", "--warmup", "0s")
    with patient_server(tmp_path / "models", tmp_path / "serve.log", CONVOY_QUEUE="1000") as running:
        for scenario in ("hostile", "batch"):
            out = tmp_path / scenario
            code, summary, text = load_test(
                running.url, colours / "val", out, "--scenario", scenario, "--batch-size", 2, *options
            )
            assert code == 0, text
            assert summary["errors"] == []
