"""How a container is run like a pod, with an engine that is a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bundle.folder import open_bundle
from scripts import pod as pods
from scripts.container_engine import Engine
from scripts.deploy_test import golden
from scripts.pod import NeverReady, Spec, memory_of, pod, quantity

ROOT = Path(__file__).resolve().parents[2]


def value_of(options: list[str], name: str) -> list[str]:
    return [options[number + 1] for number, option in enumerate(options) if option == name]


def test_the_manifest_is_what_is_run() -> None:
    spec = Spec.read()
    container = yaml.safe_load((ROOT / "deploy/base/deployment.yaml").read_text())["spec"]["template"]["spec"]
    security = container["containers"][0]["securityContext"]
    options = spec.options(4000, "1:0", Path("/somewhere"))
    assert ("--read-only" in options) == security["readOnlyRootFilesystem"]
    assert value_of(options, "--cap-drop") == security["capabilities"]["drop"]
    assert ("no-new-privileges" in options) != security["allowPrivilegeEscalation"]
    assert value_of(options, "--memory") == value_of(options, "--memory-swap") == [str(spec.memory)]
    assert value_of(options, "--user") == ["1:0"]
    assert value_of(options, "--volume") == ["/somewhere:/models:ro"]
    environment = dict(pair.split("=", 1) for pair in value_of(options, "--env"))
    assert spec.environment.items() <= environment.items()
    assert (environment["BENTOML_PORT"], environment["CONVOY_MODELS"]) == ("4000", "/models")
    assert spec.grace > spec.before_stop > 0
    plain = spec.options(4000)
    assert not value_of(plain, "--user")
    assert not [pair for pair in value_of(plain, "--env") if pair.startswith("CONVOY_MODELS")]


def test_quantities() -> None:
    assert [quantity(text) for text in ("12", "1Ki", "64Mi", "2Gi")] == [12, 1024, 64 * 2**20, 2 * 2**30]
    with pytest.raises(ValueError, match="1.5G"):
        quantity("1.5G")


def test_what_never_gets_ready_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "podman"
    script.write_text(
        f"""#!/bin/sh
echo "$1" >> {tmp_path}/said
case $1 in
run) echo pulling; echo abc123 ;;
inspect) echo '[{{"State": {{"Status": "exited", "Pid": 0, "ExitCode": 1}}}}]' ;;
logs) echo first; echo CONVOY_MODELS: not set ;;
rm) echo "$*" >> {tmp_path}/removed ;;
esac
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(NeverReady, match="CONVOY_MODELS: not set"), pod(Engine("podman"), "convoy:x", Spec.read()):
        raise AssertionError("it was never ready")
    assert (tmp_path / "removed").read_text() == "rm --force abc123\n"


@pytest.mark.parametrize("version", [1, 2])
def test_memory_is_read_from_either_kind_of_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    names = {
        1: ("memory/a/b", "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"),
        2: ("a/b", "memory.max", "memory.peak", "memory.events"),
    }
    folder, limit, peak, events = names[version]
    (tmp_path / folder).mkdir(parents=True)
    for name, text in ((limit, "536870912"), (peak, "1000"), (events, "under_oom 0\noom_kill 3")):
        (tmp_path / folder / name).write_text(text + "\n")
    lines = {1: "12:cpu,cpuacct:/x\n4:memory:/a/b\n0::/c\n", 2: "0::/a/b\n"}
    monkeypatch.setattr(pods, "CGROUP", tmp_path)
    process = tmp_path / "cgroup"
    process.write_text(lines[version])
    assert memory_of(7, process) == {"limit": 512 * 2**20, "peak": 1000, "killed": 3}


def test_the_golden_pictures_are_the_right_answers(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    answers = list(golden(bundle, "onnx"))
    assert len(answers) == len(bundle.manifest.golden) > 0
    assert {label for _, label, _ in answers} <= set(bundle.manifest.labels)
    assert all(0.5 < probability <= 1 for _, _, probability in answers)


def test_without_an_engine_that_runs_there_is_one_clear_line(tmp_path: Path, tiny_bundle: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.deploy_test", "--bundle", str(tiny_bundle)],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "docker or podman" in ended.stderr
