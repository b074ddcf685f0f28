"""The options of a load test, checked against each other before anything is sent."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from load_tests.errors import LoadTestError, ObjectiveInvalid, OptionInvalid
from load_tests.objective import Objective, parse
from load_tests.phase import Arrivals, Mode
from load_tests.scenarios import SCENARIOS

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
FIRST_RATE, FIRST_USERS = 5.0, 1.0
"""When nothing is said."""
MOST_RATE = 100_000
"""Requests per second: one process of the generator sends a few thousand."""


@dataclass(frozen=True)
class Options:
    """What to do. Times in seconds. loads: of the steps, None without; grow: go on after the last."""

    url: str
    images: Path
    scenario: str
    objective: Objective
    mode: Mode
    load: float
    loads: tuple[float, ...] | None
    grow: bool
    refine: int
    tries: int
    knee_check: bool
    soak: bool
    duration: float
    warmup: float
    arrivals: Arrivals
    seed: int
    outstanding: int
    timeout: float
    expected: Path | None
    hostile: Path | None
    model: str | None
    batch_size: int
    pid: int | None
    temp: Path | None
    processes: int
    workers: int
    bind: tuple[str, int]
    cpus: tuple[int, ...]
    out: Path
    json: bool


class Parser(argparse.ArgumentParser):
    """Says what is wrong on one line, as the rest of the command line does."""

    def error(self, message: str) -> NoReturn:
        raise LoadTestError(message)


def seconds(text: str) -> float:
    """Of `30s`, `500ms`, `10m` or `1h`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 30s, 500ms or 10m")
    return float(match[1]) * _UNITS[match[2]]


def cores(text: str) -> tuple[int, ...]:
    """Of `1` or `2,3`: cores that this process may use."""
    try:
        found = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of cores such as 1 or 2,3") from None
    usable = os.sched_getaffinity(0)
    if not set(found) <= usable:
        raise argparse.ArgumentTypeError(
            f"core {text} is not among those at hand: {','.join(map(str, sorted(usable)))}"
        )
    return found


def address(text: str) -> tuple[str, int]:
    """Of `HOST:PORT`."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host, int(port)


def whole(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def positive(text: str) -> float:
    """A number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def rate(text: str) -> float:
    """Requests per second."""
    if (value := positive(text)) > MOST_RATE:
        raise argparse.ArgumentTypeError(f"{text!r} is more than the {MOST_RATE:,} that are worth trying")
    return value


def parser() -> Parser:
    """Every option; `convoy loadtest` has the same."""
    made = Parser(prog="python -m load_tests", description="Put a load on a running Convoy service and judge it.")
    add = made.add_argument
    add("url", help="Where the service answers, such as http://127.0.0.1:3000.")
    add("--images", type=Path, required=True, help="A folder of pictures to send.")
    add("--scenario", choices=tuple(SCENARIOS), default="single")
    add("--slo", metavar="p95=100ms,errors=0.1%", help="The objective; without errors= none is allowed.")
    add("--mode", choices=("open", "closed"), default="open", help="Arrivals at a rate, or clients that wait.")
    add("--rate", type=rate, help=f"Requests per second (open), {FIRST_RATE:g} by itself; of steps the first.")
    add("--users", type=whole, help="Clients that wait for their answer (closed), 1 by itself; of steps the first.")
    add("--arrivals", choices=("poisson", "constant"), default="poisson")
    add("--duration", type=seconds, default=20.0, help="Of the load, or of each step.")
    add("--warmup", type=seconds, default=2.0, help="At the start of each step; shown, not counted.")
    add("--steps", help="`auto`, or loads such as 10,20,40: find the highest that meets the objective.")
    add("--refine", type=int, default=4, help="Bisections between the last good and the first bad step.")
    add("--tries", type=whole, default=1, help="Of a step that misses: more on a machine that others use too.")
    add("--knee-check", action="store_true", help="After the steps: 80 %% of the knee, twice the knee, recovery.")
    add("--soak", type=seconds, help="Hold the load so long, and watch the service's memory.")
    add("--expected", type=Path, help="What `convoy predict BUNDLE IMAGES --json` printed.")
    add("--hostile", type=Path, help="A CSV of hostile files: file, status.")
    add("--model", help="Of several that the service has; else its first.")
    add("--batch-size", type=whole, default=8, help="Pictures in a request of the batch and oip scenarios.")
    add("--outstanding", type=whole, default=1000, help="Requests open at once; what is due beyond is an error.")
    add("--timeout", type=seconds, default=30.0, help="Until an answer is given up.")
    add("--seed", type=int, default=0)
    add("--pid", type=whole, help="The service's process, when it runs here: its memory is watched.")
    add("--temp", type=Path, help="The service's temporary folder, when it runs here: nothing may stay in it.")
    add("--processes", type=whole, default=1, help="Of the generator, on this machine.")
    add("--cpus", type=cores, default=(), help="Cores that the generator stays on, such as 1 or 2,3.")
    add("--workers", type=int, default=0, help="Wait for so many `python -m load_tests.worker` instead.")
    add("--bind", type=address, default=("127.0.0.1", 0), help="HOST:PORT for those.")
    add("--out", type=Path, default=Path("load-test"), help="A folder for report.html and summary.json.")
    add("--json", action="store_true", help="Print the summary instead of a table.")
    return made


def read_options(arguments: Sequence[str]) -> Options:
    """Raises: LoadTestError."""
    given = parser().parse_args(arguments)
    objective = parse(given.slo) if given.slo is not None else Objective()
    stepping = given.steps is not None or given.knee_check
    _check(given, objective, stepping)
    load = given.rate or FIRST_RATE if given.mode == "open" else given.users or FIRST_USERS
    loads = _loads(given, float(load)) if stepping else None
    values = vars(given)
    kept = {name: values[name] for name in Options.__dataclass_fields__ if name in values}
    kept |= {"objective": objective, "load": float(load), "loads": loads, "soak": given.soak is not None}
    kept |= {"grow": stepping and given.steps in (None, "auto"), "duration": given.soak or given.duration}
    return Options(**kept)


def _check(given: argparse.Namespace, objective: Objective, stepping: bool) -> None:
    if given.mode == "open" and given.users:
        raise OptionInvalid("--users", given.users, "users are for --mode closed; the open loop has a --rate")
    if given.mode == "closed" and given.rate:
        raise OptionInvalid("--rate", given.rate, "a rate is for --mode open; the closed loop has --users")
    if stepping and given.soak:
        raise OptionInvalid("--soak", f"{given.soak:g}s", "does not go with steps")
    if stepping and not objective.limits:
        raise ObjectiveInvalid(given.slo or "", "steps need a latency that must hold")
    if given.warmup >= (given.soak or given.duration):
        raise OptionInvalid("--warmup", f"{given.warmup:g}s", "must be shorter than the load")
    if given.refine < 0:
        raise OptionInvalid("--refine", given.refine, "expected 0 or more")
    if given.workers < 0 or (given.workers and not given.bind[1]):
        raise OptionInvalid("--workers", given.workers, "expected a number of workers, and --bind with a port")
    if given.hostile and given.scenario != "hostile":
        raise OptionInvalid("--hostile", given.hostile, "is for --scenario hostile")
    if given.expected and given.scenario == "mixed":
        raise OptionInvalid("--expected", given.expected, "not for --scenario mixed, which resizes the pictures")


def _loads(given: argparse.Namespace, first: float) -> tuple[float, ...]:
    if given.steps in (None, "auto"):
        return (first,)
    try:
        loads = tuple((rate if given.mode == "open" else whole)(part.strip()) for part in given.steps.split(","))
    except argparse.ArgumentTypeError:
        loads = ()
    if not loads or list(loads) != sorted(set(loads)):
        raise OptionInvalid("--steps", given.steps, "expected `auto` or ascending loads such as 10,20,40")
    return tuple(map(float, loads))
