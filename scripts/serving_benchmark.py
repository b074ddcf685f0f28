"""The service against the machine's own limit, by turns on the same two or more cores.

    .venv/bin/python -m scripts.serving_benchmark BUNDLE --images FOLDER [--target NAME] [--overload SECONDS]

The limit is an in-process loop of decode, preprocess, run and top-5, one thread per core, of the same artefact. Rounds
alternate (limit, service batching as set, service with batching off) for every number of connections, so a machine
that others use too shifts all of them; each line is the median of the rounds' own ratios. The load generator runs on
the same machine: its share of the cores is missing from the service's figures, and stands beside them. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from bundle.cores import available_cores
from bundle.folder import open_bundle
from export.benchmark import machine
from load_tests.closed_loop import Load, quantile, read_pictures
from scripts.limit import Limit
from tests.serving import Server, bento_server

CONNECTIONS = (1, 8, 32, 64)


def ask(server: Server, pictures: list[bytes], connections: int, seconds: float) -> Load:
    """A closed loop against a running service."""
    load = Load(server.url, pictures)
    asyncio.run(load.run(connections, seconds))
    return load


def together(server: Server) -> int:
    """Pictures that a thread takes at once, as the start chose."""
    (model,) = httpx.get(f"{server.url}/models").raise_for_status().json()["models"]
    described = httpx.get(f"{server.url}/models/{model['name']}").raise_for_status().json()
    return int(described["batching"]["together"])


def rate(load: Load) -> float:
    """Good answers per second between the first and the last."""
    times = sorted(when for when, _ in load.good)
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 2 else 0.0


def compare(
    limit: Limit, servers: dict[str, Server], pictures: list[bytes], connections: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """The medians of the rounds' ratios to the limit measured in the same round, and the latencies."""
    shares: dict[str, list[float]] = {name: [] for name in servers}
    median: dict[str, list[float]] = {name: [] for name in servers}
    slowest: dict[str, list[float]] = {name: [] for name in servers}
    generator: dict[str, list[float]] = {name: [] for name in servers}
    rates, statuses = [], {}
    for turn in range(rounds):
        names = list(servers) if turn % 2 == 0 else list(servers)[::-1]
        reached = limit.per_second(available_cores(), seconds)
        rates.append(reached)
        for name in names:
            before, started = time.process_time(), time.perf_counter()
            load = ask(servers[name], pictures, connections, seconds)
            taken = (time.process_time() - before) / (time.perf_counter() - started) / available_cores()
            generator[name].append(taken)
            shares[name].append(rate(load) / reached)
            took = [each for _, each in load.good]
            median[name].append(1000 * (quantile(took, 0.5) or float("nan")))
            slowest[name].append(1000 * (quantile(took, 0.99) or float("nan")))
            statuses[name] = {str(key): value for key, value in load.statuses.items()}
    found: dict[str, Any] = {"connections": connections, "limit_per_second": round(statistics.median(rates), 1)}
    for name in servers:
        found[name] = {
            "together": together(servers[name]),
            "share_of_limit": round(statistics.median(shares[name]), 3),
            "shares": [round(share, 3) for share in shares[name]],
            "p50_ms": round(statistics.median(median[name]), 2),
            "p99_ms": round(statistics.median(slowest[name]), 2),
            "generator_share_of_cores": round(statistics.median(generator[name]), 3),
            "statuses": statuses[name],
        }
    if connections == 1:
        found["limit_p50_ms"] = round(limit.median_ms(40), 2)
    return found


def overload(server: Server, pictures: list[bytes], connections: int, seconds: float) -> dict[str, Any]:
    """Eight connections, then far too many, then eight again, each second of which is looked at."""
    before = ask(server, pictures, 8, seconds / 2)
    storm = ask(server, pictures, connections, seconds)
    ended = time.perf_counter()
    after = ask(server, pictures, 8, 4)
    latencies = [1000 * each for _, each in storm.good]
    usual = quantile([each for _, each in before.good], 0.95) or 0.0
    slow = [when - ended for when, each in after.good if each > 1.5 * usual]
    return {
        "unloaded_per_second": round(rate(before), 2),
        "good_per_second": round(rate(storm), 2),
        "share_of_unloaded": round(rate(storm) / rate(before), 3),
        "accepted_p50_ms": quantile(latencies, 0.5),
        "accepted_p99_ms": quantile(latencies, 0.99),
        "statuses": {str(key): value for key, value in storm.statuses.items()},
        "health_worst_ms": max(1000 * each for _, each, _ in storm.health),
        "health_failed": sum(status != 200 for _, _, status in storm.health),
        "normal_again_after_s": round(max(slow, default=0.0), 2),
    }


@contextmanager
def services(bundle: Path, modes: list[str], target: str) -> Iterator[dict[str, Server]]:
    """One service per batching mode, side by side; only one is asked at a time."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = {"CONVOY_CACHE": str(folder), "CONVOY_ACCESS_LOG": os.environ.get("CONVOY_ACCESS_LOG", "on")}
        settings["CONVOY_ARTEFACT"] = target
        yield {
            mode: stack.enter_context(bento_server(bundle, folder / f"{mode}.log", CONVOY_BATCHING=mode, **settings))
            for mode in modes
        }


def about(bundle: Path, target: str) -> dict[str, Any]:
    """What is measured, where and when."""
    return {
        "network": open_bundle(bundle).manifest.architecture.name,
        "target": target,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "cores": available_cores(),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--target", default="onnx", help="the file that is served, and that the limit runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, nargs="*", default=list(CONNECTIONS))
    parser.add_argument("--overload", type=float, default=0, metavar="SECONDS", help="256 connections for so long")
    options = parser.parse_args()
    pictures = read_pictures(options.images)
    if options.overload:
        with services(options.bundle, ["auto"], options.target) as running:
            print(json.dumps(overload(running["auto"], pictures, 256, options.overload), indent=2))
        return
    limit = Limit(options.bundle, pictures, options.target)
    limit.per_second(available_cores(), 1)
    with services(options.bundle, ["auto", "off"], options.target) as running:
        for connections in options.connections:
            row = compare(limit, running, pictures, connections, options.rounds, options.seconds)
            print(json.dumps({**about(options.bundle, options.target), **row}), flush=True)


if __name__ == "__main__":
    main()
