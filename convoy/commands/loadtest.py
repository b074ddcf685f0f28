from __future__ import annotations

import os
import sys
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from convoy.commands.options import Json
from convoy.errors import ExtraMissing


class Scenario(StrEnum):
    single = "single"
    batch = "batch"
    oip = "oip"
    mixed = "mixed"
    hostile = "hostile"


class Mode(StrEnum):
    open = "open"
    closed = "closed"


class Arrivals(StrEnum):
    poisson = "poisson"
    constant = "constant"


Text = Optional[str]


def loadtest(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the service answers, like http://127.0.0.1:3000.")],
    images: Annotated[Path, typer.Option(help="A folder of pictures to send.")],
    scenario: Annotated[Scenario, typer.Option(help="What is sent (docs/load-test.md).")] = Scenario.single,
    slo: Annotated[
        Text, typer.Option(metavar="p95=100ms,errors=0.1%", help="The objective: exit code 1 below it.")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Arrivals at a rate, or clients that wait.")] = Mode.open,
    rate: Annotated[
        Optional[float], typer.Option(help="Requests per second (open), 5 by itself; of steps the first.")
    ] = None,
    users: Annotated[Optional[int], typer.Option(help="Clients (closed), 1 by itself; of steps the first.")] = None,
    arrivals: Annotated[Arrivals, typer.Option(help="When requests are due in the open loop.")] = Arrivals.poisson,
    duration: Annotated[Text, typer.Option(help="Of the load, or of each step: 20s.")] = None,
    warmup: Annotated[Text, typer.Option(help="At the start of each step; shown, not counted: 2s.")] = None,
    steps: Annotated[Text, typer.Option(help="`auto`, or loads such as 10,20,40: find the knee.")] = None,
    refine: Annotated[
        Optional[int], typer.Option(help="Bisections between the last good and the first bad step.")
    ] = None,
    tries: Annotated[
        Optional[int], typer.Option(help="Of a step that misses: more on a machine that others use too.")
    ] = None,
    knee_check: Annotated[
        bool, typer.Option("--knee-check", help="After the steps: 80 % of the knee, twice the knee, recovery.")
    ] = False,
    soak: Annotated[Text, typer.Option(help="Hold the load so long, and watch the service's memory.")] = None,
    expected: Annotated[
        Optional[Path], typer.Option(help="What `convoy predict BUNDLE IMAGES --json` printed.")
    ] = None,
    hostile: Annotated[Optional[Path], typer.Option(help="A CSV of hostile files: file, status.")] = None,
    model: Annotated[Text, typer.Option(help="Of several that the service has; else its first.")] = None,
    batch_size: Annotated[Optional[int], typer.Option(help="Pictures in a request of batch and oip: 8.")] = None,
    outstanding: Annotated[
        Optional[int], typer.Option(help="Requests open at once; what is due beyond is an error: 1000.")
    ] = None,
    timeout: Annotated[Text, typer.Option(help="Until an answer is given up: 30s.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="Of arrivals and choices.")] = None,
    pid: Annotated[Optional[int], typer.Option(help="The service's process, when it runs here: its memory.")] = None,
    temp: Annotated[
        Optional[Path], typer.Option(help="The service's temporary folder, when it runs here: nothing may stay in it.")
    ] = None,
    processes: Annotated[Optional[int], typer.Option(help="Of the generator, on this machine: 1.")] = None,
    cpus: Annotated[Text, typer.Option(help="Cores that the generator stays on, such as 1 or 2,3.")] = None,
    workers: Annotated[Optional[int], typer.Option(help="Wait for so many workers instead of starting any.")] = None,
    bind: Annotated[Text, typer.Option(metavar="HOST:PORT", help="Where workers find their master.")] = None,
    out: Annotated[Path, typer.Option(help="A folder for report.html and summary.json.")] = Path("load-test"),
    json: Json = False,
) -> None:
    """Put a load on a running service, check every answer, and judge it by an objective."""
    if find_spec("locust") is None:
        raise ExtraMissing("locust")
    given = {name: value for name, value in locals().items() if name != "url"}
    command = [sys.executable, "-m", "load_tests", *words(given), "--", url]
    # locust patches the standard library for gevent: it gets a process of its own, which takes this one's place, so
    # that signals and the exit code are its own.
    os.execv(command[0], command)


def words(given: dict[str, Any]) -> list[str]:
    """Options as one would type them; what is not given is left to the other side."""
    found = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            found.append(option)
        elif value is not None and value is not False:
            found.append(f"{option}={value}")
    return found
