"""The service around its knee, at twice its knee, and for half an hour at most of its load.

    .venv/bin/python -m scripts.overload_benchmark BUNDLE --images FOLDER [--soak 30m] [--out FILE]

Starts the service by itself and measures with `convoy loadtest`: a few requests a second for the median of an idle
service; then, with an objective of three times that median for 95 % and CONVOY_MAX_WAIT of the same length, steps to
the knee with evenly spaced arrivals and with a Poisson stream; in --rounds rounds, by turns and each with another seed,
80 % of each knee, twice it, and back; then, with the service's own settings, 70 % of the second knee for as long as
--soak says, with its memory and its temporary folder watched. Writes what `python -m scripts.serving_table` puts into
docs/performance.md, as medians of the rounds. The machine must have nothing else to do.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.cores import available_cores
from bundle.folder import open_bundle
from export.benchmark import machine
from scripts.peers_benchmark import as_given
from tests.serving import Server, bento_server

OUT = Path(__file__).resolve().parent.parent / "docs" / "measured" / "overload.json"
TIMES_IDLE = 3
"""The objective: slower than this many idle answers feels slow, and a service at its limit is slower soon."""
ERRORS = "0.1%"
SOAK_SHARE = 0.7
IDLE_RATE = 3.0


@dataclass(frozen=True)
class Knee:
    """load: requests a second."""

    arrivals: str
    load: float


def load_test(server: Server, options: argparse.Namespace, folder: Path, *arguments: object) -> dict[str, Any]:
    """The summary of one `convoy loadtest`. Raises: SystemExit with its last line when it did not end well enough.

    Its status 1 is a verdict; the figures are what is wanted.
    """
    command = [sys.executable, "-m", "convoy.main", "loadtest", server.url, "--images", str(options.images)]
    command += [*map(str, arguments), "--out", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not (folder / "summary.json").is_file():
        raise SystemExit(f"convoy loadtest failed: {done.stderr.strip()[-500:]}")
    print(done.stderr, file=sys.stderr, flush=True)
    return dict(json.loads((folder / "summary.json").read_text()))


def idle_p50(server: Server, options: argparse.Namespace, folder: Path) -> float:
    """Milliseconds."""
    found = load_test(server, options, folder / "idle", "--rate", IDLE_RATE, "--duration", "30s")
    return float(found["phases"][-1]["latency_ms"]["p50"])


def find_knee(server: Server, options: argparse.Namespace, folder: Path, arrivals: str, objective: str) -> float:
    """Requests a second. Raises: SystemExit when no step met the objective."""
    steps = ("--rate", options.rate, "--duration", options.duration, "--steps", "auto", "--tries", 2)
    found = load_test(server, options, folder / arrivals, *steps, "--arrivals", arrivals, "--slo", objective)
    if not found["knee"]["load"]:
        raise SystemExit(f"no knee with {arrivals} arrivals: {'; '.join(found['faults'])}")
    return float(found["knee"]["load"])


def around_the_knee(
    server: Server, options: argparse.Namespace, folder: Path, knee: Knee, number: int, record: dict[str, Any]
) -> dict[str, Any]:
    """One round around `knee`, compared with the idle median and the objective of the record."""
    # The knee is known: that its own step is met again, which gives what twice it is compared with, is not asked.
    loose = f"p95={10 * record['objective_ms']}ms,errors=50%"
    steps = ("--steps", knee.load, "--refine", 0, "--duration", options.duration, "--knee-check")
    wanted = ("--arrivals", knee.arrivals, "--seed", number + 1, "--slo", loose)
    found = load_test(server, options, folder / f"{knee.arrivals}-{number}", *steps, *wanted)
    if not found["overload"]:
        raise SystemExit(f"the knee of {knee.load:g} with {knee.arrivals} arrivals: {'; '.join(found['faults'])}")
    below, above = found["overload"]["at_80_percent"], found["overload"]["at_200_percent"]
    return {
        **found["overload"],
        "p99_at_80_percent_to_idle_p50": below["latency_ms"]["p99"] / record["idle_p50_ms"],
        "accepted_p99_to_objective": above["accepted_p99_ms"] / record["objective_ms"],
        "generator": found["generator"],
    }


def middle(values: list[float | None]) -> float | None:
    """The median, where None is longer than any number."""
    found = statistics.median_low(math.inf if value is None else value for value in values)
    return None if found == math.inf else found


MIDDLES = ("good_per_second", "share_of_knee", "accepted_p99_ms", "refused", "refused_p50_ms", "refused_p99_ms")
RATIOS = ("p99_at_80_percent_to_idle_p50", "accepted_p99_to_objective", "normal_again_after_s")


def of_rounds(knee: Knee, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds, all of their errors, and the rounds themselves."""
    below, above = ([each[f"at_{share}_percent"] for each in rounds] for share in (80, 200))
    errors = Counter[str]()
    for each in above:
        errors.update(each["errors"])
    return {
        "knee_per_second": knee.load,
        "at_80_percent": {
            "load": below[0]["load"],
            "latency_ms": {name: middle([each["latency_ms"][name] for each in below]) for name in ("p50", "p99")},
        },
        "at_200_percent": {
            "load": above[0]["load"],
            **{name: middle([each[name] for each in above]) for name in MIDDLES},
            "errors": dict(errors),
        },
        "watched_after_s": rounds[0]["watched_after_s"],
        **{name: middle([each[name] for each in rounds]) for name in RATIOS},
        "generator": {"share_of_cores": middle([each["generator"]["share_of_cores"] for each in rounds])},
        "rounds": rounds,
    }


def knees(server: Server, options: argparse.Namespace, folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """By the kind of arrivals: the knee, and what lies around it."""
    found = [
        Knee(arrivals, find_knee(server, options, folder, arrivals, record["objective"]))
        for arrivals in ("constant", "poisson")
    ]
    rounds: dict[Knee, list[dict[str, Any]]] = {knee: [] for knee in found}
    for number in range(options.rounds):
        for knee in found:
            rounds[knee].append(around_the_knee(server, options, folder, knee, number, record))
    return {knee.arrivals: of_rounds(knee, rounds[knee]) for knee in found}


def soak(server: Server, options: argparse.Namespace, folder: Path, rate: float, temp: Path) -> dict[str, Any]:
    """Memory, files and errors."""
    watched = ("--pid", server.process.pid, "--temp", temp)
    found = load_test(server, options, folder / "soak", "--rate", rate, "--soak", options.soak, *watched)
    phase = found["phases"][-1]
    kept = ("seconds", "load", "due", "ok", "errors", "good_per_second", "latency_ms")
    left = len(found["soak"]["files_left"])
    memory = found["soak"]["memory_bytes"]
    return {
        **{name: phase[name] for name in kept},
        "memory_bytes": memory,
        "files_left": left,
        "faults": found["faults"],
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything for the record."""
    bundle = open_bundle(options.bundle)
    record: dict[str, Any] = {
        "bundle": f"{bundle.manifest.name} ({bundle.manifest.architecture.name})",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "cores": available_cores(),
        "command": as_given("scripts.overload_benchmark"),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        temp = folder / "tmp"
        temp.mkdir()
        settings = {"CONVOY_CACHE": str(folder), "TMPDIR": str(temp)}
        with bento_server(options.bundle, folder / "log", **settings) as server:
            record["idle_p50_ms"] = idle_p50(server, options, folder)
        record["objective_ms"] = options.objective_ms or round(TIMES_IDLE * record["idle_p50_ms"])
        record["objective"] = f"p95={record['objective_ms']}ms,errors={ERRORS}"
        limited = {**settings, "CONVOY_MAX_WAIT": f"{record['objective_ms'] / 1000:g}"}
        with bento_server(options.bundle, folder / "log", **limited) as server:
            record["knee"] = knees(server, options, folder, record)
        if options.soak == "0s":
            return {**record, **soak_on_record(options.out, record)}
        write(options.out, record)
        rate = round(SOAK_SHARE * record["knee"]["poisson"]["knee_per_second"], 1)
        with bento_server(options.bundle, folder / "log", **settings) as server:
            record["soak"] = soak(server, options, folder, rate, temp)
    return record


def soak_on_record(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run of the same bundle on such a machine soaked, with its own command and date."""
    found = json.loads(path.read_text()) if path.is_file() else {}
    same = all(found.get(name) == record[name] for name in ("bundle", "machine", "cores"))
    if not same or "soak" not in found:
        return {}
    return {"soak": {"command": found["command"], "date": found["date"], **found["soak"]}}


def write(path: Path, record: dict[str, Any]) -> None:
    """The record so far."""
    path.write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=50.0, help="of the first step  [%(default)s]")
    parser.add_argument("--duration", default="20s", help="of a step  [%(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="around each knee  [%(default)s]")
    parser.add_argument("--objective-ms", type=int, help="for 95 %%  [three times the idle median]")
    parser.add_argument("--soak", default="30m", help="0s keeps the one on record  [%(default)s]")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    write(options.out, measure(options))


if __name__ == "__main__":
    main()
