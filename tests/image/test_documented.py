"""The figures of docs/deploy.md are those of the files that scripts wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.image import MOST_BYTES
from scripts.image_tables import checks, memory, read, sizes
from scripts.serving_cost import MEASURED, Cost, cores, rate, target
from scripts.serving_cost import table as cost_table

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/deploy.md").read_text()


def test_sizes() -> None:
    record = read("image.json")["image"]
    assert sizes() in PAGE
    assert record["total_bytes"] <= MOST_BYTES
    assert record["base_bytes"] + record["own_bytes"] == record["total_bytes"]
    assert set(record["unwanted_files"].values()) == {0}


def test_everything_tried_held_and_is_told() -> None:
    rows = read("image.json")["checks"]
    assert len(rows) >= 15
    assert [row for row in rows if not row["passed"]] == []
    assert checks() in PAGE


def test_memory() -> None:
    record = read("image_memory.json")
    assert record["passed"]
    assert record["oom_kills"] == 0
    assert record["peak_bytes"] <= record["limit_bytes"] == 512 * 2**20
    assert record["seconds"] >= 120
    assert memory() in PAGE


def test_cost() -> None:
    assert cost_table() in PAGE


@pytest.mark.parametrize("name", MEASURED.values())
def test_a_rate_is_a_share_of_the_limit(name: str) -> None:
    lines = [json.loads(line) for line in (ROOT / "docs/measured" / name).read_text().splitlines()]
    assert 0.5 < rate(name) / max(line["limit_per_second"] for line in lines) <= 1


def test_the_arithmetic() -> None:
    cost = Cost("a", rate=100, cores=2, full=0.5)
    assert cost.pods == 1000 / 50 + 1
    # 42 cores at 0.10 an hour, for 3.6 million images an hour.
    assert cost.row(0.10) == "| a | 100 | 50 | 21 | 42 | 4.20 | 1.17 |"
    assert (cores(), target()) == (2, 0.7)
