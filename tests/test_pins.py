"""The pins agree with each other and name no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^[a-z0-9-]+==[A-Za-z0-9.]+$")


def pins(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    assert all(PIN.match(line) for line in lines)
    return dict(line.split("==") for line in lines)


def test_the_containers_pins_are_those_that_were_tested() -> None:
    constraints, service = pins("constraints.txt"), pins("service/requirements.txt")
    assert service.items() <= constraints.items()
    assert not [name for name in service if name.startswith(("torch", "nvidia-cu", "lightning", "triton"))]


@pytest.mark.parametrize("group", ["base", "serve"])
def test_the_container_has_what_the_service_asks_for(group: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] if group == "base" else project["optional-dependencies"][group]
    service = pins("service/requirements.txt")
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.specifier.contains(service[canonicalize_name(requirement.name)]), text


def test_every_dependency_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    constraints = pins("constraints.txt")
    extras = project["optional-dependencies"]
    (everything,) = (Requirement(text).extras for text in extras["all"])
    # An extra outside of `all` is not installed here, so there is no tested version to pin.
    for group in (project["dependencies"], *(extras[name] for name in sorted(everything))):
        for text in group:
            requirement = Requirement(text)
            if requirement.name != "convoy":
                assert requirement.specifier.contains(constraints[canonicalize_name(requirement.name)]), text


def test_the_bento_is_not_locked_to_an_index() -> None:
    options = yaml.safe_load((ROOT / "bentofile.yaml").read_text())
    assert options["python"] == {"requirements_txt": "./service/requirements.txt", "lock_packages": False}
