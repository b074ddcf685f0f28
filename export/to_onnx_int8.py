"""ONNX with 8-bit weights and activations, by the ladder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx

from export.fine_tuning import Tuned
from export.job import Job, Written
from export.ladder import FINE_TUNED, Attempt, Ladder, Operators, after_tuning
from export.map_proof import with_map
from export.onnx_map import drop_map, take_map
from export.onnx_metadata import add_metadata
from export.onnx_quantizer import (
    LARGEST_WEIGHT,
    PICTURES,
    Calibrator,
    OnnxQuantizer,
    count_operators,
    has_integer_dot_product,
)
from export.onnx_rows import spread_normalisation
from export.onnx_stem import square_stem
from export.targets import TARGETS
from export.to_onnx import write_onnx

EXCLUDED = (0.05, 0.15, 0.30)
"""Shares of the tensors whose surroundings stay in float, the noisiest first."""

ON_VNNI = "on a processor with VNNI (on this one weights have 7 bits)"

_MOVING = "moving averages of min and max"


def write(job: Job, path: Path) -> Written:
    """The first rung that passes. Raises: NotQuantizable."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        source = Path(scratch) / "source.onnx"
        model = onnx.load(job.written("onnx").path)
        part = take_map(model)
        onnx.save_model(model, source)
        quantizer = OnnxQuantizer(source, job.calibration.tensors, Path(scratch))
        target = TARGETS["onnx-int8"]
        elsewhere = "" if has_integer_dot_product() else ON_VNNI
        written = Ladder(job, target, "onnx", elsewhere).climb(_attempts(job, quantizer, Path(scratch)), path)
    return with_map(job, target, written, part)


def _attempts(job: Job, quantizer: OnnxQuantizer, scratch: Path) -> Iterator[Attempt]:
    def attempt(name: str, calibrator: Calibrator = "minmax", **options: Any) -> Attempt:
        make = _maker(job, quantizer, scratch, {"calibrator": calibrator, **options})
        return Attempt(name, make, PICTURES[calibrator])

    yield attempt("min-max ranges, weights by channel")
    yield attempt("99.99 % ranges", calibrator="percentile")
    yield attempt("entropy ranges", calibrator="entropy")
    yield attempt(_MOVING, calibrator="moving")
    for share in EXCLUDED:
        nodes = quantizer.worst_nodes(share)
        yield attempt(f"{len(nodes)} noisiest nodes in float", exclude=nodes)
    yield from after_tuning(job, LARGEST_WEIGHT, lambda tuned: _tuned_attempts(job, tuned, scratch))


def _tuned_attempts(job: Job, tuned: Tuned, scratch: Path) -> Iterator[Attempt]:
    """Once more from other weights, with the ranges that they have seen while they learned."""
    folder = scratch / "tuned"
    folder.mkdir()
    write_onnx(tuned.checkpoint, folder / "fp32.onnx")
    drop_map(folder / "fp32.onnx")
    quantizer = OnnxQuantizer(folder / "fp32.onnx", job.calibration.tensors, folder)
    ways: tuple[tuple[str, Calibrator], ...] = ((_MOVING, "moving"), ("99.99 % ranges", "percentile"))
    for name, calibrator in ways:
        make = _maker(job, quantizer, folder, {"calibrator": calibrator})
        yield Attempt(f"{FINE_TUNED}, {name}", make, PICTURES[calibrator], tuned.record)


def _maker(job: Job, quantizer: OnnxQuantizer, scratch: Path, options: dict[str, Any]) -> Callable[[Path], Operators]:
    def make(path: Path) -> Operators:
        quantizer.quantize(path, **options)
        model = onnx.load(path)
        spread_normalisation(model)
        square_stem(model)
        add_metadata(model, job.checkpoint.manifest)
        onnx.save_model(model, path)
        return Operators(*count_operators(path, scratch))

    return make
