from __future__ import annotations

import json as text_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from convoy.commands.options import Json, Overwrite
from convoy.console import err, grid, print_text

if TYPE_CHECKING:
    from export.benchmark import Benchmark


def benchmark(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE…", help="Bundle folders.")],
    data: Annotated[
        Optional[Path], typer.Option(help="Labelled pictures: measure the accuracy on them, not as at export.")
    ] = None,
    threads: Annotated[Optional[list[int]], typer.Option(min=1, help="May be repeated.  [1 and every core]")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each file has its turn.")] = 7,
    out: Annotated[
        Optional[Path], typer.Option(help="A folder for benchmark.json, benchmark.svg and benchmark.html.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Size, load time, latency, throughput and accuracy of every file, each in its own runtime, in turn."""
    from bundle.cores import available_cores
    from export.benchmark import benchmark as measure
    from export.benchmark import entries_of
    from export.benchmark_files import refuse_files, write_files
    from export.errors import TooManyThreads

    if out is not None:
        refuse_files(out, overwrite=overwrite)
    if max(threads or [1]) > available_cores():
        raise TooManyThreads(max(threads or [1]), available_cores())
    entries = [entry for path in bundles for entry in entries_of(path, data)]
    if data is not None and entries and not any(entry.n for entry in entries):
        err.print(f"{data}: its pictures have no labels: accuracy is left out")
    found = measure(entries, threads=threads, rounds=rounds)
    if json:
        print_text(text_of.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        _table(found)
    if out is not None:
        write_files(out, found)
        err.print(f"wrote {out}")


def _table(found: Benchmark) -> None:
    columns = (
        "bundle",
        "target",
        "threads>",
        "MB>",
        "load ms>",
        "p50 ms>",
        "p95 ms>",
        "images/s>",
        "batch>",
        "p50>",
        "p95>",
        "top-1>",
    )
    rows = [
        (
            one.bundle,
            one.target,
            str(one.threads),
            f"{one.bytes / 1e6:.1f}",
            f"{one.load_ms:.0f}",
            f"{one.p50_ms:.2f}",
            f"{one.p95_ms:.2f}",
            f"{one.images_per_second:.1f}",
            str(one.best_batch),
            f"{one.best_p50_ms:.1f}",
            f"{one.best_p95_ms:.1f}",
            "" if one.top1 is None else f"{one.top1:.4f}",
        )
        for one in found.measurements
    ]
    grid(columns, rows)
