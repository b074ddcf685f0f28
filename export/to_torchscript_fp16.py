"""TorchScript in half precision, for servers with a GPU. It was proven on this machine's processor."""

from __future__ import annotations

from pathlib import Path

from export.deployable import HalfDeployable
from export.job import Job, Written
from export.to_torchscript import script


def write(job: Job, path: Path) -> Written:
    """Trace, freeze and save as `torchscript` does."""
    manifest = job.checkpoint.manifest
    return script(HalfDeployable(job.checkpoint.network, manifest).eval(), "torchscript-fp16", manifest, path)
