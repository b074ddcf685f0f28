"""The container's process, started here without a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from bundle.folder import open_bundle
from service import run
from service.container import address
from tests.pictures import encode, plain
from tests.serving import Server, free_port, server

ROOT = Path(__file__).resolve().parents[2]
HEALTHY = [sys.executable, "-S", "-m", "service.healthy"]


@contextmanager
def container(bundle: Path, log: Path, **settings: str) -> Iterator[Server]:
    port = free_port()
    env = {**run.environment(bundle), "BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": str(port), **settings}
    with server([sys.executable, "-m", "service.container"], log, port, env, cwd=ROOT) as running:
        yield running


def test_one_process_answers_drains_and_ends_with_0(tiny_bundle: Path, tmp_path: Path) -> None:
    with container(tiny_bundle, tmp_path / "log", CONVOY_DRAIN="2") as running:
        assert psutil.Process(running.process.pid).children() == []
        port = running.url.rpartition(":")[2]
        assert subprocess.run(HEALTHY, env={"BENTOML_PORT": port}, cwd=ROOT, check=False).returncode == 0
        answer = httpx.post(f"{running.url}/predict", content=encode(plain("red"))).json()
        assert (answer["bundle"], answer["predictions"][0]["label"]) == (open_bundle(tiny_bundle).id, "red")
        assert "server" not in httpx.get(f"{running.url}/livez").headers
        os.kill(running.process.pid, signal.SIGTERM)
        while httpx.get(f"{running.url}/readyz").status_code == 200:
            pass
        # Whoever has not seen that yet is answered.
        assert httpx.post(f"{running.url}/predict", content=encode(plain("red"))).status_code == 200
        assert subprocess.run(HEALTHY, env={"BENTOML_PORT": port}, cwd=ROOT, check=False).returncode == 1
        assert running.process.wait(20) == 0


def test_what_cannot_be_served_ends_with_one_line(tmp_path: Path) -> None:
    for name, value in (("CONVOY_THREADS", "none"), ("BENTOML_PORT", "70000")):
        env = {**run.environment(tmp_path), name: value}
        ended = subprocess.run(
            [sys.executable, "-m", "service.container"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 1
        assert ended.stderr.strip().splitlines()[-1].startswith(name)
        assert "Traceback" not in ended.stderr


def test_the_address_is_bentomls() -> None:
    assert address({}) == ("0.0.0.0", 3000)
    assert address({"BENTOML_HOST": "::", "BENTOML_PORT": "80"}) == ("::", 80)
    for wrong in ("0", "65536", "-1", "x", "٣"):
        with pytest.raises(SystemExit, match="BENTOML_PORT"):
            address({"BENTOML_PORT": wrong})


def test_nobody_there_is_not_healthy() -> None:
    environment = {"BENTOML_PORT": str(free_port())}
    assert subprocess.run(HEALTHY, env=environment, cwd=ROOT, check=False).returncode == 1
