"""The register of targets: what can be exported, for whom, by which writer, judged how.

Writers are named, not imported: each imports its own exporter, and nobody needs all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from export.errors import TargetNeedsExtra, TargetTaken, UnknownTarget
from export.quiet import quiet

if TYPE_CHECKING:
    from export.job import Job, Written

Group = Literal["server", "gpu", "phone"]
GROUPS: Final[tuple[Group, ...]] = ("server", "gpu", "phone")
ALL: Final = "all"


@dataclass(frozen=True)
class Target:
    """One kind of file.

    groups: who wants it; none: only who asks for it by name. suffix: what the file's name ends with.
    writer: the module whose `write(job, path)` makes the file. runner: what runs it (`export.runners`), None where
    nothing on this machine can, `unverified` then says why.
    extra: of pyproject.toml, and modules: that must be there. tools: packages whose versions the manifest names.
    tolerance: largest allowed difference of a probability from PyTorch's on the same pixels, None: not limited.
    min_top1_agreement: smallest allowed share of pictures with the same first class.
    batch: True for any batch size, False for one picture at a time. calibrated: needs pictures for its ranges.
    """

    name: str
    groups: tuple[Group, ...]
    suffix: str
    precision: Literal["fp32", "fp16", "int8"]
    writer: str
    runner: str | None
    extra: str
    modules: tuple[str, ...]
    tools: tuple[str, ...]
    tolerance: float | None
    min_top1_agreement: float
    batch: bool = True
    unverified: str | None = None
    calibrated: bool = False

    @property
    def file(self) -> str:
        """The file's name in the bundle."""
        return f"model{self.suffix}"

    def write(self, job: Job, path: Path) -> Written:
        """Make the file. Raises: GateFailed, or whatever the exporter does."""
        with quiet():
            writer = import_module(self.writer)
        written: Written = writer.write(job, path)
        return written


TARGETS: dict[str, Target] = {}


def register(target: Target) -> None:
    """Raises: TargetTaken for a name or a file name that is there already."""
    if target.name in TARGETS or target.file in {other.file for other in TARGETS.values()}:
        raise TargetTaken(target.name)
    TARGETS[target.name] = target


def find_targets(names: Sequence[str]) -> list[Target]:
    """The targets and groups called `names`, each target once, in the order given.

    Raises: UnknownTarget; TargetNeedsExtra when what a target needs is not installed.
    """
    chosen = [TARGETS[name] for name in dict.fromkeys(one for name in names for one in _expand(name))]
    for target in chosen:
        for module in target.modules:
            if find_spec(module) is None:
                raise TargetNeedsExtra(target.name, module, target.extra)
    return chosen


def _expand(name: str) -> Iterable[str]:
    if name in TARGETS:
        return (name,)
    if name not in (*GROUPS, ALL):
        raise UnknownTarget(name, (*TARGETS, *GROUPS, ALL))
    return [target.name for target in TARGETS.values() if target.groups and (name == ALL or name in target.groups)]


_ONNX = ("torch", "onnx", "onnxscript", "onnxruntime")

register(
    Target(
        name="onnx",
        groups=("server", "gpu"),
        suffix=".onnx",
        precision="fp32",
        writer="export.to_onnx",
        runner="onnx",
        extra="export",
        modules=("onnx", "onnxscript", "onnxruntime"),
        tools=_ONNX,
        # Measured at most 3e-5 over the zoo; a wrong mean, resize or label order gives over 1e-2.
        tolerance=1e-4,
        min_top1_agreement=0.99,
    )
)
register(
    Target(
        name="onnx-fp16",
        groups=("gpu",),
        suffix="-fp16.onnx",
        precision="fp16",
        writer="export.to_onnx_fp16",
        runner="onnx",
        extra="export",
        modules=("onnx", "onnxscript", "onnxruntime"),
        tools=_ONNX,
        # Measured 0.038 on MobileNetV2 over 300 pictures of 1,000 classes.
        tolerance=1e-1,
        min_top1_agreement=0.99,
    )
)
register(
    Target(
        name="onnx-int8",
        groups=("server",),
        suffix="-int8.onnx",
        precision="int8",
        writer="export.to_onnx_int8",
        runner="onnx",
        extra="export",
        modules=("onnx", "onnxscript", "onnxruntime"),
        tools=_ONNX,
        tolerance=None,
        min_top1_agreement=0.9,
        calibrated=True,
    )
)
register(
    Target(
        name="torchscript",
        groups=("server", "gpu"),
        suffix=".ts",
        precision="fp32",
        writer="export.to_torchscript",
        runner="torchscript",
        extra="train",
        modules=("torch",),
        tools=("torch",),
        tolerance=1e-4,
        min_top1_agreement=0.99,
    )
)
register(
    Target(
        name="torchscript-fp16",
        groups=("gpu",),
        suffix="-fp16.ts",
        precision="fp16",
        writer="export.to_torchscript_fp16",
        runner="torchscript",
        extra="train",
        modules=("torch",),
        tools=("torch",),
        tolerance=1e-1,
        min_top1_agreement=0.99,
    )
)
register(
    Target(
        name="ort",
        groups=("phone",),
        suffix=".ort",
        precision="fp32",
        writer="export.to_ort",
        runner="onnx",
        extra="export",
        modules=("onnx", "onnxscript", "onnxruntime"),
        tools=_ONNX,
        tolerance=1e-4,
        min_top1_agreement=0.99,
    )
)
register(
    Target(
        name="ort-int8",
        groups=("phone",),
        suffix="-int8.ort",
        precision="int8",
        writer="export.to_ort_int8",
        runner="onnx",
        extra="export",
        modules=("onnx", "onnxscript", "onnxruntime"),
        tools=_ONNX,
        tolerance=None,
        min_top1_agreement=0.9,
        calibrated=True,
    )
)
_EXECUTORCH = ("torch", "executorch", "torchao")

register(
    Target(
        name="executorch",
        groups=("phone",),
        suffix=".pte",
        precision="fp32",
        writer="export.to_executorch",
        runner="executorch",
        extra="executorch",
        modules=("torch", "executorch"),
        tools=_EXECUTORCH,
        tolerance=1e-4,
        min_top1_agreement=0.99,
        batch=False,
    )
)
register(
    Target(
        name="executorch-int8",
        groups=("phone",),
        suffix="-int8.pte",
        precision="int8",
        writer="export.to_executorch_int8",
        runner="executorch",
        extra="executorch",
        modules=("torch", "executorch", "torchao"),
        tools=_EXECUTORCH,
        tolerance=None,
        min_top1_agreement=0.9,
        batch=False,
        calibrated=True,
    )
)
_NOT_HERE = "Core ML runs on macOS and iOS only; its description (input, labels) was checked, its answers were not"

register(
    Target(
        name="coreml",
        groups=("phone",),
        suffix=".mlpackage.zip",
        precision="fp16",
        writer="export.to_coreml",
        runner=None,
        extra="coreml",
        modules=("torch", "coremltools"),
        tools=("torch", "coremltools"),
        tolerance=None,
        min_top1_agreement=0.99,
        batch=False,
        unverified=_NOT_HERE,
    )
)
register(
    Target(
        name="coreml-int8",
        groups=("phone",),
        suffix="-int8.mlpackage.zip",
        precision="int8",
        writer="export.to_coreml_int8",
        runner=None,
        extra="coreml",
        modules=("torch", "coremltools"),
        tools=("torch", "coremltools"),
        tolerance=None,
        min_top1_agreement=0.9,
        batch=False,
        unverified=_NOT_HERE,
    )
)
