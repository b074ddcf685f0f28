"""A container run the way `deploy/base/deployment.yaml` asks of Kubernetes, and what the host sees of it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from bundle.errors import ConvoyError
from scripts.container_engine import Engine, call

ROOT = Path(__file__).resolve().parent.parent
CGROUP = Path("/sys/fs/cgroup")
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


class NeverReady(ConvoyError):
    def __init__(self, seconds: float, log: str) -> None:
        lines = log.strip().splitlines()
        super().__init__(f"not ready within {seconds:g} s; its log ends with: {lines[-1] if lines else 'nothing'}")


def quantity(text: str) -> int:
    """Bytes of Kubernetes' `512Mi`."""
    match = re.fullmatch(r"(\d+)(Ki|Mi|Gi)?", text)
    if match is None:
        raise ValueError(f"{text}: not a quantity of memory")
    return int(match[1]) * UNITS.get(match[2], 1)


@dataclass(frozen=True)
class Spec:
    """What the manifests say about the container."""

    environment: dict[str, str]
    memory: int
    cpus: int
    tmp: int
    grace: float
    before_stop: float

    @classmethod
    def read(cls, path: Path = ROOT / "deploy/base/deployment.yaml") -> Spec:
        """From the manifest that every overlay begins with."""
        pod = yaml.safe_load(path.read_text())["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        limits = container["resources"]["limits"]
        return cls(
            {each["name"]: each["value"] for each in container["env"]},
            quantity(limits["memory"]),
            int(limits["cpu"]),
            quantity(pod["volumes"][0]["emptyDir"]["sizeLimit"]),
            float(pod["terminationGracePeriodSeconds"]),
            float(container["lifecycle"]["preStop"]["exec"]["command"][1]),
        )

    def options(self, port: int, user: str = "", mount: Path | None = None) -> list[str]:
        """For `docker run`: the pod's `restricted` security context, its limits, its writable /tmp."""
        memory = str(self.memory)
        options = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host"]
        options += ["--memory", memory, "--memory-swap", memory, "--cpus", str(self.cpus)]
        options += ["--tmpfs", f"/tmp:rw,nosuid,nodev,size={self.tmp},mode=1777"]
        environment = {**self.environment, "BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": str(port)}
        if user:
            options += ["--user", user]
        if mount:
            options += ["--volume", f"{mount.resolve()}:/models:ro"]
            environment["CONVOY_MODELS"] = "/models"
        return [*options, *(part for pair in environment.items() for part in ("--env", "=".join(pair)))]


@dataclass
class Pod:
    """One running container. `ready_…seconds` go from its start to the first /readyz that said 200."""

    engine: Engine
    container: str
    url: str
    begun: float
    ready_seconds: float = 0.0
    ready_cpu_seconds: float = 0.0
    pid: int = 0
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10))

    def ready(self) -> bool:
        """One look at /readyz; False where nobody listens."""
        try:
            return self.client.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def wait(self, seconds: float) -> None:
        """Raises: NeverReady."""
        while not self.ready():
            if time.monotonic() - self.begun > seconds or self.state()["Status"] in ("exited", "dead"):
                raise NeverReady(seconds, self.engine.logs(self.container))
            time.sleep(0.01)
        self.ready_seconds = time.monotonic() - self.begun
        self.pid = int(self.state()["Pid"])
        self.ready_cpu_seconds = self.cpu_seconds()

    def state(self) -> dict[str, Any]:
        """The engine's view."""
        return self.engine.state(self.container)

    def status(self) -> dict[str, str]:
        """/proc/PID/status of its first process, as the host sees it."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def cpu_seconds(self) -> float:
        """Processor time of its first process."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def processes(self) -> int:
        """How many there are in its process namespace."""
        (namespace,) = {Path(f"/proc/{self.pid}/ns/pid").readlink()}
        return sum(_namespace(path) == namespace for path in Path("/proc").glob("[0-9]*"))

    def run(self, *command: str) -> str:
        """A command inside. Raises: EngineFailed."""
        return call([self.engine.name, "exec", self.container, *command], timeout=60).strip()

    def python(self, code: str) -> str:
        """Python inside, with the image's own interpreter."""
        return self.run("python3", "-c", code)

    def signal(self, name: str) -> None:
        """Send it to the first process."""
        call([self.engine.name, "kill", "--signal", name, self.container])

    def wait_for_end(self, seconds: float) -> int | None:
        """The exit code; None when it still runs after `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            state = self.state()
            if state["Status"] in ("exited", "stopped", "dead"):
                return int(state["ExitCode"])
            time.sleep(0.02)
        return None


def _namespace(path: Path) -> Path | None:
    try:
        return (path / "ns/pid").readlink()
    except OSError:
        return None


@contextmanager
def pod(
    engine: Engine, image: str, spec: Spec, *, user: str = "", mount: Path | None = None, patience: float = 60
) -> Iterator[Pod]:
    """Start, wait until ready, and remove afterwards, whatever happens. Raises: EngineFailed, NeverReady."""
    port = free_port()
    begun = time.monotonic()
    container = engine.start(image, spec.options(port, user, mount))
    try:
        running = Pod(engine, container, f"http://127.0.0.1:{port}", begun)
        running.wait(patience)
        yield running
    finally:
        engine.remove(container)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_of(pid: int, cgroup: Path | None = None) -> dict[str, int]:
    """`limit`, `peak` and `killed` (by the kernel for want of memory) of the process's cgroup, version 1 or 2."""
    lines = [line.split(":", 2) for line in (cgroup or Path(f"/proc/{pid}/cgroup")).read_text().splitlines()]
    version1 = next((path for _, names, path in lines if "memory" in names.split(",")), None)
    if version1 is not None:
        folder = CGROUP / "memory" / version1.lstrip("/")
        events = _pairs(folder / "memory.oom_control")
        names = ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
    else:
        folder = CGROUP / next(path for number, _, path in lines if number == "0").lstrip("/")
        events = _pairs(folder / "memory.events")
        names = ("memory.max", "memory.peak")
    limit, peak = ((folder / name).read_text().strip() for name in names)
    return {"limit": int(limit) if limit != "max" else 0, "peak": int(peak), "killed": events["oom_kill"]}


def _pairs(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def load_average() -> float:
    """Processes that want a core, over the last minute."""
    return float(Path("/proc/loadavg").read_text().split()[0])
