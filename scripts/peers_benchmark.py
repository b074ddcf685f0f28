"""The service against other frameworks with the same ONNX file, pictures and cores, in turns.

    .venv/bin/python -m scripts.peers_benchmark BUNDLE... --images FOLDER [--artefact fp32 default] [--out FILE]

Each round measures the in-process limit, this service and every peer once; the next one in another order. What else the
machine does shifts all of them. Every answer is checked against the bundle's own. Peers are in load_tests/peers; each
framework's environment is made in .venv-peers from its requirements.txt. Peers serve the fp32 file. So does this
service with `--artefact fp32`; with `default` it chooses its artefact as it does by itself; with both it enters twice.
A turn takes --seconds, or longer where the machine needs longer to answer each connection eight times.

What is finished stands in FILE after every number of connections; the same command goes on from there. Then
`python -m scripts.serving_table` writes the section of docs/performance.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from bundle.cores import available_cores
from bundle.folder import open_bundle
from export.benchmark import machine
from load_tests.answers import Expected
from load_tests.closed_loop import read_pictures
from scripts.limit import Limit
from scripts.peer_environments import ENVIRONMENTS, ROOT, EnvironmentFailed, make, versions
from scripts.peer_servers import (
    BUSY_CORES,
    CONVOY,
    OURS,
    OWN_PYTHON,
    PEERS_BY_NAME,
    Contender,
    NotStarted,
    Server,
    idle_cores,
)
from scripts.peer_turns import (
    RAMP,
    Turn,
    as_bytes,
    best_peer,
    median,
    order,
    ratio,
    summary,
    take_turn,
    turn_seconds,
)

OUT = ROOT / "docs" / "measured" / "peers.json"
CONNECTIONS = (1, 8, 32, 64)
WARM_SECONDS = 1.5
IDLE_SECONDS = 3.0
FP32 = "onnx"


@dataclass
class Entrant:
    """A server of one bundle with what it is asked and must answer."""

    server: Server
    expected: list[Expected]
    requests: list[bytes]
    restless: bool = False
    """Busy while nobody asks it anything: paused while others are measured."""

    @property
    def name(self) -> str:
        return self.server.contender.name

    def ready(self, pictures: list[bytes]) -> None:
        """Up, warm, and with requests that name its address. Raises: NotStarted."""
        if self.server.up:
            if self.server.paused:
                self.server.resume()
            return
        self.server.start(pictures[0])
        self.requests = [as_bytes(self.server.request(picture)) for picture in pictures]
        self.turn(2 * available_cores(), WARM_SECONDS)

    def turn(self, connections: int, seconds: float) -> Turn:
        """Under load."""
        before = self.server.cpu_seconds()
        taken = take_turn(self.server.url, self.requests, self.expected, connections, seconds)
        spent, good = self.server.cpu_seconds() - before, taken.statuses.get("200", 0)
        return replace(taken, cpu_ms=1000 * spent / good if good and spent >= 0 else None)


class Field:
    """All entrants of one bundle, and the limits of the files that they serve."""

    def __init__(self, bundle: Path, pictures: list[bytes]) -> None:
        self.bundle, self.pictures = bundle, pictures
        self.limits = {FP32: Limit(bundle, pictures, FP32)}
        self.serves: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.idle: dict[str, float] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self.entrants: dict[str, Entrant] = {}
        self._expected = answers(self.limits[FP32], len(pictures))

    @cached_property
    def limit(self) -> float:
        """Images per second of the fp32 file in this process, by which turns are long enough."""
        return self.limits[FP32].per_second(available_cores(), WARM_SECONDS)

    def enter(self, contender: Contender, python: Path, folder: Path) -> None:
        """Start it; one that does not start is named in `failed`, and the rest goes on."""
        manifest = self.bundle / "manifest.json"
        model = open_bundle(self.bundle).manifest.artefact(FP32).path
        settings = {"PEERS_MODEL": str((self.bundle / model).resolve()), "PEERS_MANIFEST": str(manifest.resolve())}
        settings |= {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder / "bentoml")}
        if contender.framework == OURS:
            artefact = FP32 if contender is CONVOY["fp32"] else "auto"
            settings = {"CONVOY_CACHE": str(folder), "CONVOY_ARTEFACT": artefact}
        log = folder / f"{contender.name}.log"
        entrant = Entrant(Server(contender, python, self.bundle, log, settings), self._expected, [])
        self.entrants[contender.name] = entrant
        try:
            entrant.ready(self.pictures)
        except NotStarted as error:
            self.drop(contender.name, str(error))
            return
        self.serves[contender.name] = FP32
        if contender.framework == OURS:
            self._look_at(entrant)

    def _look_at(self, entrant: Entrant) -> None:
        """Which artefact this service has chosen: its answers are that file's."""
        (model,) = httpx.get(f"{entrant.server.url}/models").json()["models"]
        target = self.serves[entrant.name] = model["target"]
        if target not in self.limits:
            self.limits[target] = Limit(self.bundle, self.pictures, target)
            entrant.expected = answers(self.limits[target], len(self.pictures))

    def drop(self, name: str, reason: str) -> None:
        """Leave it out from now on."""
        self.entrants.pop(name).server.stop()
        self.failed[name] = reason
        print(f"left out: {reason}", file=sys.stderr, flush=True)

    def settle(self) -> None:
        """Those that are busy while nobody asks them are paused but for their own turns."""
        self.idle = idle_cores([entrant.server for entrant in self.entrants.values()], IDLE_SECONDS)
        for name, entrant in self.entrants.items():
            if self.idle[name] > BUSY_CORES:
                entrant.restless = True
                entrant.server.pause()

    def take(self, name: str, connections: int, seconds: float) -> Turn | None:
        """One server's turn; None when it could not be brought up, and is out."""
        entrant = self.entrants[name]
        try:
            entrant.ready(self.pictures)
        except NotStarted as error:
            self.drop(name, str(error))
            return None
        turn = entrant.turn(connections, seconds)
        if entrant.restless:
            entrant.server.pause()
        return turn

    def close(self) -> None:
        """End all."""
        for entrant in self.entrants.values():
            entrant.server.stop()


def answers(limit: Limit, count: int) -> list[Expected]:
    """The first class of each picture, on every core."""
    with ThreadPoolExecutor(available_cores()) as pool:
        firsts = [best[0] for best in pool.map(limit.one, range(count))]
    return [Expected(first.label, first.probability) for first in firsts]


def measure(field: Field, connections: int, rounds: int, seconds: float) -> dict[str, Any]:
    """One row of the record: every server's rounds, against the fp32 file's limit of the same round."""
    limits: dict[str, list[float]] = {target: [] for target in field.limits}
    turns: dict[str, list[Turn]] = {name: [] for name in field.entrants}
    for number in range(rounds):
        for target, limit in field.limits.items():
            limits[target].append(limit.per_second(available_cores(), seconds))
        for name in order(list(field.entrants), number):
            turn = field.take(name, connections, seconds)
            if turn is not None:
                turns[name].append(turn)
    servers = {name: summary(taken, limits[FP32]) for name, taken in turns.items() if len(taken) == rounds}
    ours = [name for name in servers if field.entrants[name].server.contender.framework == OURS]
    peer = best_peer(servers, ours)
    return {
        "limits_images_per_second": {target: median(rates, 1) for target, rates in limits.items()},
        "rounds_limit_images_per_second": [round(rate, 1) for rate in limits[FP32]],
        "servers": servers,
        "left_out": dict(field.failed),
        "best_peer": peer,
        "ratio_to_best_peer": {name: ratio(servers, name, peer) for name in ours} if peer else {},
    }


def described(contender: Contender, field: Field) -> dict[str, Any]:
    """What a reader needs to know of a server."""
    named = ("bentoml", "litserve", "fastapi", "uvicorn", "onnxruntime", "pillow", "numpy", "uvloop")
    found, idle = field.versions.get(contender.framework, {}), field.idle.get(contender.name)
    return {
        "framework": contender.framework,
        "serves": field.serves.get(contender.name),
        "has": contender.has,
        "idiom": contender.idiom,
        "request": f"form field {contender.form}" if contender.form else "raw body",
        "versions": {name: found[name] for name in named if name in found},
        "idle_cores": idle,
        "paused_between_turns": idle is not None and idle > BUSY_CORES,
    }


def estimate(field: Field, connections: list[int], rounds: int, seconds: float) -> float:
    """Seconds that the bundle's rows will take: turns, and the first and last answers that are waited for."""
    lengths = {count: turn_seconds(count, field.limit, seconds) for count in connections}
    total = 0.0
    for name in list(field.entrants):
        turn = field.take(name, 2 * available_cores(), WARM_SECONDS)
        speed = max(1.0, turn.images_per_second) if turn else 1.0
        total += sum(rounds * (max(RAMP, count / speed) + lengths[count] + count / speed) for count in connections)
    return total + len(field.limits) * rounds * sum(lengths.values())


def pythons(contenders: list[Contender]) -> tuple[dict[str, Path], dict[str, str]]:
    """Each framework's python, and why one has none."""
    found, failed = {OURS: OWN_PYTHON}, {}
    for framework in sorted({contender.framework for contender in contenders} - set(found)):
        print(f"environment of {framework}: {ENVIRONMENTS / framework}", file=sys.stderr, flush=True)
        try:
            found[framework] = make(framework)
        except EnvironmentFailed as error:
            failed[framework] = str(error)
            print(f"left out: {error}", file=sys.stderr, flush=True)
    return found, failed


@contextmanager
def line_up(bundle: Path, options: argparse.Namespace, contenders: list[Contender]) -> Iterator[Field]:
    """All servers of a bundle, up and warm; ended afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        field = Field(bundle, read_pictures(options.images))
        stack.callback(field.close)
        found, failed = pythons(contenders)
        for contender in contenders:
            if contender.framework in found:
                python = found[contender.framework]
                field.versions[contender.framework] = field.versions.get(contender.framework) or versions(python)
                field.enter(contender, python, folder)
            else:
                field.failed[contender.name] = failed[contender.framework]
        field.settle()
        yield field


class Record:
    """The JSON file: rows by what they measure, written after each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.is_file() else []

    def has(self, key: dict[str, Any]) -> bool:
        """Whether such a row is finished: with turns that were long enough."""
        return any(
            "turn_seconds" in row and all(row.get(name) == value for name, value in key.items()) for row in self.rows
        )

    def add(self, row: dict[str, Any]) -> None:
        """In the place of an older row of the same kind; through a sibling, so that no half file is ever seen."""
        kind = ("model", "connections")
        self.rows = [old for old in self.rows if any(old[name] != row[name] for name in kind)] + [row]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        sibling = self.path.with_suffix(".part")
        sibling.write_text(json.dumps({"rows": self.rows}, indent=1) + "\n")
        sibling.replace(self.path)


def compare(bundle: Path, options: argparse.Namespace, record: Record) -> None:
    """The missing rows of one bundle."""
    opened = open_bundle(bundle)
    contenders = [*(CONVOY[kind] for kind in options.artefact), *(PEERS_BY_NAME[name] for name in options.peers)]
    names = [contender.name for contender in contenders]
    key = {
        "model": opened.manifest.architecture.name,
        "bundle": opened.id,
        "entered": names,
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    missing = [count for count in options.connections if not record.has({**key, "connections": count})]
    if not missing:
        return
    with line_up(bundle, options, contenders) as field:
        expected = estimate(field, missing, options.rounds, options.seconds) / 60
        print(f"{key['model']}: about {expected:.1f} minutes from now", file=sys.stderr, flush=True)
        about = {each.name: described(each, field) for each in contenders}
        for count in missing:
            seconds = turn_seconds(count, field.limit, options.seconds)
            when: dict[str, Any] = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
            when |= {"turn_seconds": seconds, "load_1m": round(os.getloadavg()[0], 2)}
            row = measure(field, count, options.rounds, seconds)
            place = {"machine": machine(), "cores": available_cores(), "python": sys.version.split()[0]}
            what = {"pictures": len(field.pictures), "command": as_given("scripts.peers_benchmark")}
            record.add({**key, "connections": count, **when, **place, **what, **row, "about": about})
            report(record.rows[-1])


def as_given(module: str) -> str:
    """The command, without the folders of this machine."""
    return " ".join([f"python -m {module}", *(Path(part).name for part in sys.argv[1:])])


def report(row: dict[str, Any]) -> None:
    """One line a server, while the rest is still running."""
    print(f"{row['model']}, {row['connections']} connections, limits {row['limits_images_per_second']}", flush=True)
    for name, found in sorted(row["servers"].items(), key=lambda pair: -pair[1]["share_of_limit"]):
        counts = f"{found['wrong_answers']} wrong, {found['refused']} refused, {found['errors']} errors"
        times = f"p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms"
        rate = f"{found['images_per_second']:8.1f}/s {100 * found['share_of_limit']:6.1f} %"
        print(f"  {name:18} {rate}  {times}; {found['cpu_ms_per_answer']} ms of CPU; {counts}", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--artefact", nargs="+", choices=list(CONVOY), default=["fp32"], help="of this service")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS_BY_NAME), default=list(PEERS_BY_NAME))
    parser.add_argument("--connections", type=int, nargs="*", default=list(CONNECTIONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one server's turn at least  [%(default)s]")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def main() -> None:
    """The command line."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end, those that are paused too
    record = Record(options.out)
    turns = len(options.bundles) * len(options.connections) * options.rounds
    least = turns * options.seconds * (len(options.peers) + 2 * len(options.artefact)) / 60
    print(f"turns: at least {least:.1f} minutes; starts and last answers come on top", file=sys.stderr, flush=True)
    for bundle in options.bundles:
        compare(bundle, options, record)


if __name__ == "__main__":
    main()
