"""The register of targets: what can be exported, and by whom it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.manifest import Artefact, Manifest, Parity
from export import to_onnx
from export.errors import UnknownTarget
from models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Target:
    """One kind of file.

    write: checkpoint → file. describe: the manifest's record. What runs it: `export.runners`.
    tolerance: largest allowed difference of a probability from PyTorch's on the same pixels.
    min_top1_agreement: smallest allowed share of pictures with the same first class.
    """

    name: str
    file: str
    write: Callable[[Checkpoint, Path], None]
    describe: Callable[[Path, Manifest, Parity], Artefact]
    tolerance: float
    min_top1_agreement: float


TARGETS = {
    "onnx": Target(
        name="onnx",
        file=to_onnx.FILE,
        write=to_onnx.write_onnx,
        describe=to_onnx.onnx_artefact,
        # Measured at most 3e-5 over the zoo; a wrong mean, resize or label order gives over 1e-2.
        tolerance=1e-4,
        min_top1_agreement=0.99,
    )
}


def find_targets(names: Sequence[str]) -> list[Target]:
    """The targets called `names`, each once, in the order given. Raises: UnknownTarget."""
    for name in names:
        if name not in TARGETS:
            raise UnknownTarget(name, TARGETS)
    return [TARGETS[name] for name in dict.fromkeys(names)]
