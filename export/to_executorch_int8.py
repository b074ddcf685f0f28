"""ExecuTorch with XNNPACK in int8, by the ladder. The .pte itself is judged: it differs from the converted module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import nn

from export.deployable import Deployable, refuse_train_mode
from export.executorch_program import lower
from export.fine_tuning import Tuned
from export.job import Job, Written
from export.ladder import FINE_TUNED, Attempt, Ladder, Operators, after_tuning
from export.targets import TARGETS
from export.xnnpack_quantizer import Observer, quantize

PICTURES = 96
"""torch's observers take a picture at a time and keep histograms: seconds, where onnxruntime needs less."""


def write(job: Job, path: Path) -> Written:
    """The first rung that passes. Raises: NotQuantizable."""
    return Ladder(job, TARGETS["executorch-int8"], "executorch").climb(_attempts(job), path)


def _attempts(job: Job) -> Iterator[Attempt]:
    yield Attempt("histogram ranges, weights by channel", _maker(job, "histogram"), PICTURES)
    yield Attempt("min-max ranges", _maker(job, "minmax"), PICTURES)
    yield Attempt("only layers in int8, histogram ranges", _maker(job, "histogram", layers_only=True), PICTURES)
    yield from after_tuning(job, 127, lambda tuned: _tuned_attempts(job, tuned))


def _tuned_attempts(job: Job, tuned: Tuned) -> Iterator[Attempt]:
    """The first rungs again, from other weights."""
    ways: tuple[tuple[str, Observer], ...] = (("histogram ranges", "histogram"), ("min-max ranges", "minmax"))
    for name, observer in ways:
        make = _maker(job, observer, network=tuned.checkpoint.network)
        yield Attempt(f"{FINE_TUNED}, {name}", make, PICTURES, tuned.record)


def _maker(
    job: Job, observer: Observer, *, layers_only: bool = False, network: nn.Module | None = None
) -> Callable[[Path], Operators]:
    def make(path: Path) -> Operators:
        manifest = job.checkpoint.manifest
        module = Deployable(network or job.checkpoint.network, manifest).eval()
        refuse_train_mode("executorch-int8", module)
        tensors = job.calibration.tensors[:PICTURES]
        graphs = lower(quantize(module, manifest, tensors, observer, layers_only=layers_only), manifest, path)
        return count_operators(graphs)

    return make


def count_operators(graphs: list[Any]) -> Operators:
    """The program's graph and its delegates': on integers is what stands between dequantizing and quantizing.

    What takes integers and gives floats, as a last division and softmax do, computes in float.
    """
    counts = [[_kind(node) for node in graph.nodes if node.op == "call_function"] for graph in graphs]
    integers = sum(kinds.count("integer") for kinds in counts)
    floats = sum(kinds.count("float") for kinds in counts)
    outside = sum(kind in ("integer", "float") for kind in counts[0])
    return Operators(integers, floats, round(1 - outside / max(1, integers + floats), 4))


_CLAMPS = ("relu", "hardtanh", "clamp")
_MOVING = ("copy", "permute", "view", "quantize", "getitem", "delegate", "squeeze", "expand", "clone", "alloc")


def _kind(node: Any) -> str:
    name = str(node.target)
    if any(word in name for word in _MOVING):
        return "moving"
    # A clamp behind its layer is part of it.
    if any(word in name for word in _CLAMPS):
        return "moving"
    # A layer's bias, the third input, is added to its sums as it is.
    inputs = all("dequantize" in str(source.target) for source in node.all_input_nodes[:2])
    return "integer" if inputs and _is_quantized(node) else "float"


def _is_quantized(node: Any) -> bool:
    """Whether all that read the answer, behind a clamp, quantize it."""
    return bool(node.users) and all(
        _is_quantized(reader)
        if any(word in str(reader.target) for word in _CLAMPS)
        else "quantize" in str(reader.target) and "dequantize" not in str(reader.target)
        for reader in node.users
    )
