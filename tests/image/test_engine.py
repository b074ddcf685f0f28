"""Which engine is taken, and what it is told; the engines here are scripts that write down their arguments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.container_engine import Build, Engine, EngineFailed, EngineMissing, Secret, find_engine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, name: str, status: int = 0, says: str = "") -> None:
    script = folder / name
    keeps = f'for word; do echo "$word"; done > {folder}/{name}.said'
    script.write_text(f"#!/bin/sh\n{keeps}\necho '{says}'\nexit {status}\n")
    script.chmod(0o755)


def test_the_first_that_answers_is_taken(binaries: Path) -> None:
    with pytest.raises(EngineMissing, match="install docker, podman or buildah"):
        find_engine()
    put(binaries, "buildah")
    assert find_engine() == Engine("buildah")
    with pytest.raises(EngineMissing):
        find_engine(to_run=True)
    put(binaries, "docker", status=1)  # installed, but its daemon does not answer
    assert find_engine() == Engine("buildah")
    put(binaries, "podman")
    assert find_engine() == find_engine(to_run=True) == Engine("podman")
    assert find_engine("buildah") == Engine("buildah")
    for wanted in ("docker", "nerdctl"):
        with pytest.raises(EngineMissing, match=wanted):
            find_engine(wanted)


@pytest.mark.parametrize("name", ["docker", "podman", "buildah"])
def test_a_build_says_what_to_build(binaries: Path, name: str) -> None:
    put(binaries, name)
    secrets = (Secret("ca", Path("/x/ca.crt")),)
    Engine(name).build(Build(Path("/bento"), "convoy:x", {"VERSION": "1"}, {"a.b": "c d"}, secrets))
    said = (binaries / f"{name}.said").read_text().splitlines()
    assert (said[0], said[-1]) == ("build", "/bento")
    for pair in (
        ("-t", "convoy:x"),
        ("-f", "/bento/env/docker/Dockerfile"),
        ("--build-arg", "VERSION=1"),
        ("--label", "a.b=c d"),
        ("--secret", "id=ca,src=/x/ca.crt"),
    ):
        assert said[said.index(pair[0]) + 1] == pair[1]
    assert ("--format" in said) == (name != "docker")


def test_a_failure_is_its_last_line(binaries: Path) -> None:
    put(binaries, "podman", status=1, says="no space left")
    with pytest.raises(EngineFailed, match="podman build --network failed: no space left"):
        Engine("podman").build(Build(Path("/bento"), "convoy:x"))


@pytest.mark.parametrize("name", ["image"])
def test_without_an_engine_there_is_one_clear_line(binaries: Path, name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", f"scripts.{name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "install docker, podman or buildah" in ended.stderr
