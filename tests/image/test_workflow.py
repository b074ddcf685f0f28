"""The public CI's file, which nobody has run here: what it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / ".github/workflows/ci.yml"


def steps() -> list[dict[str, Any]]:
    document = yaml.safe_load(PATH.read_text())
    return [step for job in document["jobs"].values() for step in job["steps"]]


def test_actions_are_pinned_by_their_whole_version() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert len(used) >= 6
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+\.\d+\.\d+", action), action


def test_what_is_run_is_there() -> None:
    commands = " ".join(step.get("run", "") for step in steps())
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"make ([a-z-]+)", commands))
    assert targets >= {"check", "deploy-test"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert (ROOT / ".ci/run").is_file()
    assert ".ci/run" in commands
    (overlays,) = re.findall(r"for overlay in ([a-z ]+);", commands)
    assert set(overlays.split()) == {path.name for path in (ROOT / "deploy/overlays").iterdir()}


def test_it_may_only_read() -> None:
    document = yaml.safe_load(PATH.read_text())
    assert document["permissions"] == {"contents": "read"}
    assert "NOT RUN" in PATH.read_text()
