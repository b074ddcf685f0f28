"""LiteRT with 8-bit weights and activations, by the ladder; LiteRT's own quantizer in its own environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from bundle.cores import available_cores
from export.job import Job, Written
from export.ladder import Attempt, Ladder, Operators
from export.litert_environment import run_script
from export.targets import TARGETS
from export.to_litert import describe

Ranges = Literal["extremes", "averaged"]


def write(job: Job, path: Path) -> Written:
    """The first rung that passes. Raises: EnvironmentMissing, NotQuantizable."""
    source = job.written("litert")
    tools = dict(source.tools)
    written = Ladder(job, TARGETS["litert-int8"], "litert").climb(_attempts(job, source.path, tools), path)
    return replace(written, tools=tools)


def _attempts(job: Job, source: Path, tools: dict[str, str]) -> Iterator[Attempt]:
    def attempt(name: str, ranges: Ranges, *, layers_only: bool = False) -> Attempt:
        return Attempt(name, _maker(job, source, tools, ranges, layers_only=layers_only))

    yield attempt("min-max ranges, weights by channel", "extremes")
    yield attempt("averaged min-max ranges", "averaged")
    yield attempt("only layers in int8, min-max ranges", "extremes", layers_only=True)


def _maker(
    job: Job, source: Path, tools: dict[str, str], ranges: Ranges, *, layers_only: bool
) -> Callable[[Path], Operators]:
    def make(path: Path) -> Operators:
        pictures = job.folder / "calibration.npy"
        np.save(pictures, job.calibration.tensors)
        found = run_script(
            "litert-int8",
            "litert_quantize",
            source=source,
            pictures=pictures,
            out=path,
            ranges=ranges,
            layers_only=layers_only,
            threads=available_cores(),
        )
        pictures.unlink()
        describe(path, job.checkpoint.manifest)
        tools.update(found["tools"])
        return Operators(found["integers"], found["floats"])

    return make
