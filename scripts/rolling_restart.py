"""Two replicas behind HAProxy under load: restarted one after the other, killed, and robbed of a worker.

    .venv/bin/python -m scripts.rolling_restart BUNDLE --images FOLDER [--out docs/measured/rolling.json]

Shows that a rollout loses no request, that a killed replica costs no more than what was in flight on it, and that a
replica without its worker is never called ready. The replicas are processes of this machine, or with `--image NAME`
containers (podman) with a read-only root and no capability. Every answer is checked by locust against the bundle's
own; what became of each request is read from HAProxy's log. Exits with 1 when one of the three does not hold.

Needs haproxy 2.4 or newer. Replicas, balancer and clients share this machine's cores: counts are exact, times are
upper bounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bundle.cores import available_cores
from bundle.errors import ConvoyError
from bundle.folder import open_bundle
from scripts.rolling.balancer import SERVERS, Balancer
from scripts.rolling.clients import Clients, expected_answers
from scripts.rolling.containers import ContainerReplica
from scripts.rolling.deaths import kill, kill_worker
from scripts.rolling.replicas import ProcessReplica, Replica
from scripts.rolling.report import holds, rounded, show
from scripts.rolling.rollout import roll
from scripts.rolling.stage import Stage
from tests.serving import free_port

SETTINGS = {
    # The wait that is accepted, in seconds: on two cores 16 users, a starting replica and the balancer are one queue,
    # and a refusal for lack of capacity (429) is another matter than a lost request.
    "CONVOY_MAX_WAIT": "20",
    # The file whose answers are expected. Which one is the fastest is for each start to find out.
    "CONVOY_ARTEFACT": "onnx",
    # The measurement of a first start is that of every later one.
    "CONVOY_BATCHING": "off",
}

PHASES = ("rolling", "rolling_with_pre_stop", "rolling_on_kept_connections", "killed_replica", "killed_worker")


@contextmanager
def stage(
    make: Callable[[str, int], Replica], clients: Callable[[str], Clients], folder: Path, *, keep_alive: bool
) -> Iterator[Stage]:
    """Two ready replicas, a balancer that knows it, and clients; all of it ended afterwards."""
    with ExitStack() as stack:
        replicas = [stack.enter_context(make(name, free_port())) for name in SERVERS]
        for replica in replicas:
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        one, two = (replica.port for replica in replicas)
        balancer = stack.enter_context(Balancer(free_port(), (one, two), folder / "haproxy.log", keep_alive=keep_alive))
        yield Stage(replicas, balancer, stack.enter_context(clients(balancer.url)))


@dataclass(frozen=True)
class Phase:
    """One part of the measurement, with replicas, balancer and clients of its own."""

    name: str
    run: Callable[[Stage], dict[str, Any]]
    keep_alive: bool = False


def phases(options: argparse.Namespace) -> list[Phase]:
    """What is asked for, in order."""

    def rolled(ready: Stage, pre_stop: float = 0) -> dict[str, Any]:
        return roll(ready, options.rounds, pre_stop, abruptly=options.abruptly)

    every = [
        Phase("rolling", rolled),
        Phase("rolling_with_pre_stop", partial(rolled, pre_stop=options.pre_stop)),
        Phase("rolling_on_kept_connections", rolled, keep_alive=True),
        Phase("killed_replica", lambda ready: verdict(kill(ready, ready.replicas[0]))),
        Phase("killed_worker", lambda ready: verdict(*kill_worker(ready, ready.replicas[0]))),
    ]
    return [phase for phase in every if phase.name in options.phases]


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every phase's figures by its name."""
    expected = expected_answers(options.bundle, options.images, folder)
    result = {}
    for phase in phases(options):
        place = folder / phase.name
        place.mkdir()

        def make(name: str, port: int, place: Path = place) -> Replica:
            if options.image:
                return ContainerReplica(name, port, options.image, options.bundle, place, SETTINGS, options.runtime)
            return ProcessReplica(name, port, options.bundle, place, SETTINGS)

        def clients(url: str, place: Path = place) -> Clients:
            return Clients(url, options.images, expected, options.users, place)

        with stage(make, clients, place, keep_alive=phase.keep_alive) as ready:
            found = phase.run(ready)
            told = ready.clients.stop()
            ready.balancer.wait_until_idle()
            seen = len(ready.balancer.exchanges())
        counts = {"locust_requests": told.requests, "locust_failures": told.failures, "balancer_requests": seen}
        result[phase.name] = {**found, **counts}
        show(phase.name, result[phase.name])
    return result


def verdict(death: Any, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """A death as a row."""
    return {**vars(death), "recovered": death.recovered, **(more or {})}


def about(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures were measured on and with."""
    version = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=True).stdout.split()[2]
    manifest = open_bundle(options.bundle).manifest
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": available_cores(),
        "system": platform.system(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "haproxy": version,
        "bundle": f"{manifest.name} ({manifest.architecture.name})",
        "replicas": "containers" if options.image else "processes",
        "users": options.users,
        "settings": SETTINGS,
    }


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line. Ends with status 2 and one line on what cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--phases", nargs="*", choices=PHASES, default=PHASES, metavar="NAME", help=", ".join(PHASES))
    parser.add_argument("--pre-stop", type=float, default=3, metavar="SECONDS")
    parser.add_argument("--image", help="run containers of this image, with podman")
    parser.add_argument("--runtime", default="runc", help="that podman uses")
    parser.add_argument("--abruptly", action="store_true", help="roll by SIGKILL, to see that requests are lost")
    parser.add_argument("--out", type=Path, help="where the figures go as JSON")
    parser.add_argument("--logs", type=Path, help="a new folder to keep every log in")
    options = parser.parse_args(argv)
    for program in ("haproxy", *(("podman", options.runtime) if options.image else ())):
        if shutil.which(program) is None:
            parser.error(f"{program} is not installed")
    if options.logs and options.logs.exists():
        parser.error(f"--logs: {options.logs} is there already")
    try:
        open_bundle(options.bundle)
    except ConvoyError as error:
        parser.error(str(error))
    return options


def main() -> None:
    """The command line."""
    options = arguments()
    # As Ctrl-C does: everything that was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        if options.logs:
            options.logs.mkdir(parents=True)
        setup = about(options)
        result = measure(options, options.logs or Path(folder))
    if options.out:
        options.out.write_text(json.dumps({"setup": setup, **rounded(result)}, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if all(map(holds, result.values())) else 1)


if __name__ == "__main__":
    main()
