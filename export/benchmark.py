"""Every artefact in its own runtime and process, all in turn: size, load time, latency, throughput, accuracy."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from bundle.cores import available_cores
from bundle.evidence import AtLeastOne, Positive
from bundle.folder import open_bundle
from bundle.manifest import Artefact, BundleManifest, Latency, Name, Record, Share
from export import stopwatch
from export.errors import NothingToTime
from export.runners import open_artefact, run_all
from export.stopwatch import Contender
from models.data import Pictures, read_evaluation_pictures

FILE = "benchmark.json"
BATCHES = (1, 8, 32)


class Measurement(Record):
    """One artefact at one number of threads. `p50_ms`, `p95_ms`: of one picture. `images_per_second` is the best of
    the batches, at `best_batch`, which takes `best_p50_ms` and `best_p95_ms` as a whole.

    Times are of the runtime alone: uint8 pixels in, probabilities out. `load_ms`: opening the file in a fresh
    process, libraries already read; `first_ms`: the first answer after that. `memory_mb`: the process at its largest,
    libraries included. `top1` of `n` pictures, None when there were no labels.
    """

    bundle: str
    target: Name
    precision: str
    bytes: AtLeastOne
    threads: AtLeastOne
    load_ms: Positive
    first_ms: Positive
    p50_ms: Positive
    p95_ms: Positive
    best_batch: AtLeastOne
    best_p50_ms: Positive
    best_p95_ms: Positive
    images_per_second: Positive
    memory_mb: Positive
    top1: Share | None = None
    n: Annotated[int, Field(ge=0)] = 0


class Benchmark(Record):
    """What was measured, where, and how often. `load_1m`: what else the machine was doing when it began."""

    machine: str
    cores: AtLeastOne
    load_1m: Annotated[float, Field(ge=0)]
    rounds: AtLeastOne
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True)
class Entry:
    """An artefact to be timed. picture: a .npy of uint8 [H, W, 3]."""

    bundle: str
    root: Path
    artefact: Artefact
    picture: Path
    top1: float | None
    n: int


def machine() -> str:
    """The processor's name; no name of the host."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def entries_of(path: Path, data: Path | None = None) -> list[Entry]:
    """Every artefact of the bundle that runs here; accuracy as recorded at export, or on `data`."""
    bundle = open_bundle(path)
    pictures = read_evaluation_pictures(data, bundle.manifest.labels) if data else None
    runnable = [artefact for artefact in bundle.manifest.artefacts if artefact.unverified is None]
    return [
        Entry(
            f"{bundle.manifest.name} {bundle.manifest.version}",
            bundle.root,
            artefact,
            bundle.path(bundle.manifest.golden[0].tensor),
            *_accuracy(bundle.root, bundle.manifest, artefact, pictures),
        )
        for artefact in runnable
    ]


def _accuracy(
    root: Path, manifest: BundleManifest, artefact: Artefact, pictures: Pictures | None
) -> tuple[float | None, int]:
    if pictures is None:
        return (artefact.accuracy.top1, artefact.accuracy.n) if artefact.accuracy else (None, 0)
    if not pictures.labelled:
        return None, 0
    labels = np.array([sample.label for sample in pictures.samples])
    found = run_all(open_artefact(root, artefact), pictures.batches(manifest.preprocess))
    return float((found.argmax(1) == labels).mean()), len(labels)


def benchmark(
    entries: Sequence[Entry],
    *,
    threads: Iterable[int] | None = None,
    batches: Sequence[int] = BATCHES,
    rounds: int = stopwatch.ROUNDS,
) -> Benchmark:
    """Time all entries; `threads` by default 1 and every core. Raises: NothingToTime, WorkerDied."""
    if not entries:
        raise NothingToTime()
    load = os.getloadavg()[0]
    counts = sorted(set(threads or (1, available_cores())))
    measured = [one for count in counts for one in _at(entries, count, batches, rounds)]
    return Benchmark(
        machine=machine(), cores=available_cores(), load_1m=round(load, 2), rounds=rounds, measurements=tuple(measured)
    )


def _at(entries: Sequence[Entry], threads: int, batches: Sequence[int], rounds: int) -> list[Measurement]:
    with ExitStack() as stack:
        contenders = {
            str(number): stack.enter_context(Contender(entry.root, entry.artefact, entry.picture, threads))
            for number, entry in enumerate(entries)
        }
        times = {1: stopwatch.in_turn(contenders, 1, rounds)}
        for batch in batches:
            if batch > 1:
                able = {name: one for name, one in contenders.items() if _takes_batches(entries[int(name)])}
                times[batch] = stopwatch.in_turn(able, batch, max(1, rounds // 2)) if able else {}
        return [_measurement(entry, str(n), contenders[str(n)], threads, times) for n, entry in enumerate(entries)]


def _takes_batches(entry: Entry) -> bool:
    return isinstance(entry.artefact.inputs[0].shape[0], str)


def _measurement(
    entry: Entry, name: str, contender: Contender, threads: int, times: dict[int, dict[str, list[float]]]
) -> Measurement:
    single = 1000 * np.array(times[1][name])
    rates = {batch: batch / float(np.median(found[name])) for batch, found in times.items() if name in found}
    best = max(rates, key=lambda batch: rates[batch])
    whole = 1000 * np.array(times[best][name])
    return Measurement(
        bundle=entry.bundle,
        target=entry.artefact.target,
        precision=entry.artefact.precision,
        bytes=entry.artefact.bytes,
        threads=threads,
        load_ms=_rounded(1000 * contender.load_s),
        first_ms=_rounded(1000 * contender.first_s),
        p50_ms=_rounded(float(np.percentile(single, 50))),
        p95_ms=_rounded(float(np.percentile(single, 95))),
        best_batch=best,
        best_p50_ms=_rounded(float(np.percentile(whole, 50))),
        best_p95_ms=_rounded(float(np.percentile(whole, 95))),
        images_per_second=_rounded(rates[best]),
        memory_mb=_rounded(contender.memory_mb),
        top1=entry.top1,
        n=entry.n,
    )


def _rounded(value: float) -> float:
    """Four digits that count: the rest is noise."""
    return float(f"{value:.4g}")


def latency_of(found: Benchmark, target: str) -> Latency | None:
    """What the manifest keeps of an artefact's measurement at the fewest threads."""
    mine = [one for one in found.measurements if one.target == target]
    if not mine:
        return None
    one = min(mine, key=lambda measurement: measurement.threads)
    return Latency(p50_ms=one.p50_ms, p95_ms=one.p95_ms, threads=one.threads, machine=found.machine)
