"""The generator and the benchmarks built on it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from load_tests.closed_loop import Load, quantile, summary
from tests.pictures import encode, plain
from tests.service.conftest import Served, plainly_served

ROOT = Path(__file__).resolve().parents[2]
RED = encode(plain("red"))


@pytest.fixture(scope="module")
def service(tiny_bundle: Path) -> Iterator[Served]:
    with plainly_served(tiny_bundle) as running:
        yield running


def test_every_answer_and_every_probe_is_counted(service: Served) -> None:
    load = Load(service.url, [RED, b"no picture"])
    asyncio.run(load.run(4, 0.5))
    assert set(load.statuses) == {200, 415}
    assert len(load.good) == load.statuses[200]
    assert {status for _, _, status in load.health} == {200}
    found = summary(load, 0.5)
    assert found["good_per_second"] > 0
    assert found["health_failed"] == 0


def test_a_dead_service_is_no_answer_and_no_hang() -> None:
    load = Load("http://127.0.0.1:1", [RED])
    asyncio.run(load.run(2, 0.3))
    assert set(load.statuses) == {0}
    assert load.lost == 0


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0, 2.0], 0.99) == 2.0


@pytest.mark.slow
def test_the_benchmark_compares_with_the_limit(tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "scripts.serving_benchmark", str(tiny_bundle), "--images", str(tiny_bundle)]
    options = ["--rounds", "1", "--seconds", "0.5", "--connections", "2"]
    result = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    row = json.loads(result.stdout)
    assert row["auto"]["share_of_limit"] > 0
    assert row["off"]["statuses"]["200"] > 0
    assert row["off"]["together"] == 1
