"""The register of targets: what can be exported, for whom, by which writer, judged how.

Writers are named, not imported: each imports its own exporter, and nobody needs all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from export import litert_environment
from export.errors import EnvironmentMissing, TargetNeedsExtra, TargetTaken, UnknownTarget
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
    runner: what runs it (`export.runners`), None where
    nothing on this machine can, `unverified` then says why.
    extra: of pyproject.toml, and modules: that must be there. tools: packages whose versions the manifest names.
    tolerance: largest allowed difference of a probability from PyTorch's on the same pixels, None: not limited.
    min_top1_agreement: smallest allowed share of pictures with the same first class.
    batch: True for any batch size, False for one picture at a time. calibrated: needs pictures for its ranges.
    beside: its library lives in an environment of its own (`export.litert_environment`), not in this one.
    """

    name: str
    groups: tuple[Group, ...]
    suffix: str
    precision: Literal["fp32", "fp16", "int8"]
    runner: str | None
    extra: str
    modules: tuple[str, ...]
    tools: tuple[str, ...]
    tolerance: float | None
    min_top1_agreement: float
    batch: bool = True
    unverified: str | None = None
    calibrated: bool = False
    beside: bool = False

    @property
    def writer(self) -> str:
        """The module whose `write(job, path)` makes the file."""
        return "export.to_" + self.name.replace("-", "_")

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

    A group goes without a target whose environment is not there, see `left_out`.
    Raises: UnknownTarget; TargetNeedsExtra when what a target needs is not installed, EnvironmentMissing when that
    is an environment of its own and the target was called by its name.
    """
    absent = left_out(names)
    chosen = [target for target in _called(names) if target.name not in absent]
    for target in chosen:
        if target.beside:
            litert_environment.command(target.name, "litert_run")
        for module in target.modules:
            if find_spec(module) is None:
                raise TargetNeedsExtra(target.name, module, target.extra)
    return chosen


def left_out(names: Sequence[str]) -> dict[str, str]:
    """Of what groups among `names` ask for: targets that are not there, and in one line how to get them."""
    absent = {}
    for target in _called(names):
        if target.beside and target.name not in names:
            try:
                litert_environment.command(target.name, "litert_run")
            except EnvironmentMissing as error:
                absent[target.name] = str(error)
    return absent


def _called(names: Sequence[str]) -> list[Target]:
    return [TARGETS[name] for name in dict.fromkeys(one for name in names for one in _expand(name))]


def _expand(name: str) -> Iterable[str]:
    if name in TARGETS:
        return (name,)
    if name not in (*GROUPS, ALL):
        raise UnknownTarget(name, (*TARGETS, *GROUPS, ALL))
    return [target.name for target in TARGETS.values() if target.groups and (name == ALL or name in target.groups)]


def _add(runtime: Mapping[str, Any], precision: Mapping[str, Any], name: str, suffix: str, *groups: Group) -> None:
    register(Target(name=name, groups=groups, suffix=suffix, **{**precision, **runtime}))


# Measured at most 3e-5 over the zoo; a wrong mean, resize or label order gives over 1e-2.
_FP32 = {"precision": "fp32", "tolerance": 1e-4, "min_top1_agreement": 0.99}
# Measured 0.038 on MobileNetV2 over 300 pictures of 1,000 classes.
_FP16 = {"precision": "fp16", "tolerance": 1e-1, "min_top1_agreement": 0.99}
_INT8 = {"precision": "int8", "tolerance": None, "min_top1_agreement": 0.9, "calibrated": True}

_ONNX = {
    "runner": "onnx",
    "extra": "export",
    "modules": ("onnx", "onnxscript", "onnxruntime"),
    "tools": ("torch", "onnx", "onnxscript", "onnxruntime"),
}
_TORCHSCRIPT = {"runner": "torchscript", "extra": "train", "modules": ("torch",), "tools": ("torch",)}
_PT2 = {**_TORCHSCRIPT, "runner": "pt2"}
_EXECUTORCH = {
    "runner": "executorch",
    "extra": "executorch",
    "modules": ("torch", "executorch", "torchao"),
    "tools": ("torch", "executorch", "torchao"),
    "batch": False,
}
_LITERT = {
    "runner": "litert",
    "extra": "train",
    "modules": ("torch",),
    "tools": ("torch",),
    "batch": False,
    "beside": True,
}
_COREML = {
    "runner": None,
    "extra": "coreml",
    "modules": ("torch", "coremltools"),
    "tools": ("torch", "coremltools"),
    "batch": False,
    # Nothing is compared, and its weights alone are quantized, without pictures.
    "tolerance": None,
    "calibrated": False,
    "unverified": "Core ML runs on macOS and iOS only; its description (input, labels) was checked, "
    "its answers were not",
}

_add(_ONNX, _FP32, "onnx", ".onnx", "server", "gpu")
_add(_ONNX, _FP16, "onnx-fp16", "-fp16.onnx", "gpu")
_add(_ONNX, _INT8, "onnx-int8", "-int8.onnx", "server")
_add(_TORCHSCRIPT, _FP32, "torchscript", ".ts", "server", "gpu")
_add(_TORCHSCRIPT, _FP16, "torchscript-fp16", "-fp16.ts", "gpu")
_add(_PT2, _FP32, "pt2", ".pt2")
_add(_ONNX, _FP32, "ort", ".ort", "phone")
_add(_ONNX, _INT8, "ort-int8", "-int8.ort", "phone")
_add(_EXECUTORCH, _FP32, "executorch", ".pte", "phone")
_add(_EXECUTORCH, _INT8, "executorch-int8", "-int8.pte", "phone")
_add(_LITERT, _FP32, "litert", ".tflite", "phone")
_add(_LITERT, _INT8, "litert-int8", "-int8.tflite", "phone")
_add(_COREML, _FP16, "coreml", ".mlpackage.zip", "phone")
_add(_COREML, _INT8, "coreml-int8", "-int8.mlpackage.zip", "phone")
