"""ExecuTorch with XNNPACK in fp32, for Android, iOS and embedded Linux."""

from __future__ import annotations

from pathlib import Path

from export.deployable import Deployable
from export.executorch_program import lower
from export.job import Job, Written


def write(job: Job, path: Path) -> Written:
    """Write the checkpoint's network as a .pte."""
    manifest = job.checkpoint.manifest
    lower(Deployable(job.checkpoint.network, manifest).eval(), manifest, path)
    return Written(path)
