"""A replica as a container, locked up as deploy/base does it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil

from scripts.rolling.replicas import Replica

CONTAINERS_CONF = """\
# Less than what a machine may hand on: podman asks for more by default than some may give.
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
"""

LOCKED_UP = [
    *("--read-only", "--tmpfs", "/tmp:rw,size=64m,mode=1777"),
    *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
    "--no-healthcheck",
]


class ContainerReplica(Replica):
    """An image of the service, run by podman on this machine's own network; a new container at every start."""

    kind = "container"

    def __init__(
        self, name: str, port: int, image: str, bundle: Path, folder: Path, settings: dict[str, str], runtime: str
    ) -> None:
        super().__init__(name, port, folder / f"{name}.log")
        self._container = f"convoy-rolling-{os.getpid()}-{name}"
        configuration = folder / "containers.conf"
        configuration.write_text(CONTAINERS_CONF, encoding="utf-8")
        self._environment = {**os.environ, "CONTAINERS_CONF": str(configuration)}
        inside = {"BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": str(port), "CONVOY_MODELS": "/bundle", **settings}
        self._run = [
            "run",
            "--detach",
            "--pull",
            "never",
            "--name",
            self._container,
            "--runtime",
            runtime,
            "--network",
            "host",
        ]
        self._run += [*LOCKED_UP, "--log-driver", "k8s-file", "--log-opt", f"path={self.log}"]
        self._run += [part for key, value in inside.items() for part in ("--env", f"{key}={value}")]
        self._run += ["--volume", f"{bundle.resolve()}:/bundle:ro", image]
        self._process: psutil.Process | None = None

    def start(self) -> None:
        self.remove()
        self._podman(*self._run)
        # Taken once: it knows its process again by the start time, and not another one by the same number.
        self._process = psutil.Process(int(self._podman("inspect", "--format", "{{.State.Pid}}", self._container)))

    def pre_stop(self, seconds: float) -> None:
        self._podman("exec", self._container, "sleep", str(seconds))

    def remove(self) -> None:
        self._process = None
        self._podman("rm", "--force", "--ignore", "--time", "0", self._container)

    def first_process(self) -> psutil.Process:
        if self._process is None or not self._process.is_running():
            raise psutil.NoSuchProcess(self._process.pid if self._process else 0, self.name)
        return self._process

    def _podman(self, *arguments: str) -> str:
        """What podman printed. Raises: RuntimeError with its complaint."""
        result = subprocess.run(["podman", *arguments], env=self._environment, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"podman {arguments[0]} {self._container}: {result.stderr.strip()[-1000:]}")
        return result.stdout.strip()
