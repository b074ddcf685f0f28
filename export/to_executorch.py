"""ExecuTorch with XNNPACK in fp32, for Android, iOS and embedded Linux."""

from __future__ import annotations

from pathlib import Path

from export.deployable import Deployable, refuse_train_mode
from export.executorch_program import lower
from export.job import Job, Written


def write(job: Job, path: Path) -> Written:
    """Write the checkpoint's network as a .pte."""
    manifest = job.checkpoint.manifest
    module = Deployable(job.checkpoint.network, manifest).eval()
    refuse_train_mode("executorch", module)
    lower(module, manifest, path)
    return Written(path)
