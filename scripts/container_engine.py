"""What docker, podman and buildah have in common: building an image, looking into it, and running it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundle.errors import ConvoyError

NAMES = ("docker", "podman", "buildah")


class EngineMissing(ConvoyError):
    def __init__(self, wanted: str) -> None:
        super().__init__(f"{wanted} is not here, or does not answer: install docker, podman or buildah, or set ENGINE")


class EngineFailed(ConvoyError):
    def __init__(self, command: list[str], output: str) -> None:
        lines = [line for line in output.strip().splitlines() if line.strip()]
        super().__init__(f"{' '.join(command[:3])} failed: {lines[-1] if lines else 'without a word'}")


@dataclass(frozen=True)
class Secret:
    """A file that one step of the build sees and no layer keeps."""

    id: str
    path: Path


@dataclass(frozen=True)
class Build:
    """What an image is made of: a Bento's folder, values for the ARGs of its Dockerfile, and labels."""

    folder: Path
    tag: str
    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()


def call(command: list[str], timeout: float = 900) -> str:
    """Standard output. Raises: EngineFailed, with the last line of what it said."""
    # Docker's classic builder knows no secrets.
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(command, f"it took more than {timeout:g} s") from error
    if result.returncode != 0:
        raise EngineFailed(command, result.stdout + result.stderr)
    return result.stdout


@dataclass(frozen=True)
class Engine:
    """One of `NAMES`."""

    name: str

    @property
    def runs(self) -> bool:
        """Whether it runs containers the way Kubernetes does; buildah only builds."""
        return self.name != "buildah"

    def build(self, build: Build) -> None:
        """Raises: EngineFailed."""
        command = [self.name, "build", "--network", "host", "-t", build.tag]
        command += ["-f", str(build.folder / "env/docker/Dockerfile")]
        if self.name != "docker":
            # OCI's own format has no place for HEALTHCHECK; without layers a second build would begin anew.
            command += ["--format", "docker", "--layers"]
        for name, value in build.arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        # Not by ARG and LABEL: buildah takes such a layer from its cache whatever the values are.
        for name, value in build.labels.items():
            command += ["--label", f"{name}={value}"]
        for secret in build.secrets:
            command += ["--secret", f"id={secret.id},src={secret.path}"]
        call([*command, str(build.folder)])

    def layers(self, image: str) -> list[str]:
        """The diff ids of its layers, lowest first. Raises: EngineFailed."""
        if self.name == "buildah":
            document = json.loads(call(["buildah", "inspect", "--type", "image", image]))
            return list(document["OCIv1"]["rootfs"]["diff_ids"])
        (document,) = json.loads(call([self.name, "image", "inspect", image]))
        return list(document["RootFS"]["Layers"])

    def save(self, image: str, path: Path) -> None:
        """The image as the kind of archive that `docker save` writes. Raises: EngineFailed."""
        if self.name == "buildah":
            call(["buildah", "push", "--quiet", image, f"docker-archive:{path}:{image}"])
        else:
            call([self.name, "save", "-o", str(path), image])

    def start(self, image: str, options: list[str]) -> str:
        """Run it in the background; returns the container's id. Raises: EngineFailed."""
        # A health check of its own needs systemd with podman, and is not what Kubernetes asks.
        return call([self.name, "run", "--detach", "--no-healthcheck", *options, image]).strip().splitlines()[-1]

    def state(self, container: str) -> dict[str, Any]:
        """Its State: Status, Pid, ExitCode, OOMKilled. Raises: EngineFailed."""
        (document,) = json.loads(call([self.name, "inspect", container]))
        return dict(document["State"])

    def logs(self, container: str) -> str:
        """What it wrote, both streams."""
        result = subprocess.run([self.name, "logs", container], capture_output=True, text=True, check=False)
        return result.stdout + result.stderr

    def remove(self, container: str) -> None:
        """End it, whatever it does, and forget it."""
        subprocess.run([self.name, "rm", "--force", container], capture_output=True, check=False)


def answers(name: str) -> bool:
    """Whether it is installed and, where it needs a daemon, that is up."""
    if shutil.which(name) is None:
        return False
    probe = [name, "version"] if name == "docker" else [name, "--version"]
    try:
        return subprocess.run(probe, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_engine(wanted: str = "", *, to_run: bool = False) -> Engine:
    """The one named, or the first of `NAMES` that answers. Raises: EngineMissing."""
    if wanted and wanted not in NAMES:
        raise EngineMissing(wanted)
    for name in (wanted,) if wanted else NAMES:
        if answers(name) and (Engine(name).runs or not to_run):
            return Engine(name)
    raise EngineMissing(wanted or ("docker or podman" if to_run else "any of docker, podman and buildah"))
