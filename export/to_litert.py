"""LiteRT (TensorFlow Lite) in fp32, for Android, iOS and embedded Linux: uint8 NHWC in, probabilities out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from bundle.manifest import Manifest
from export.deployable import Deployable, refuse_train_mode
from export.job import Job, Written
from export.litert_environment import run_script
from export.quiet import quiet
from export.to_torchscript import metadata


def write(job: Job, path: Path) -> Written:
    """torch.export here, LiteRT's converter in its own environment. Raises: EnvironmentMissing, ScriptFailed."""
    manifest = job.checkpoint.manifest
    module = Deployable(job.checkpoint.network, manifest).eval()
    refuse_train_mode("litert", module)
    crop = manifest.preprocess.crop
    # One picture: phones classify one at a time, and XNNPACK plans its memory for a fixed size.
    example = {"image": torch.zeros(1, crop, crop, 3, dtype=torch.uint8)}
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        program = Path(scratch) / "program.pt2"
        with quiet(), torch.no_grad():
            torch.export.save(torch.export.export(module, (), example), program)
        answer = run_script("litert", "litert_convert", program=program, out=path)
    describe(path, manifest)
    return Written(path, tools=answer["tools"])


def describe(path: Path, manifest: Manifest) -> None:
    """Labels and preprocessing into the file, in LiteRT's own way."""
    run_script(
        "litert",
        "litert_metadata",
        path=path,
        name=manifest.name,
        labels=manifest.labels,
        convoy=metadata(manifest),
        size=manifest.preprocess.crop,
    )
