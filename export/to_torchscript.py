"""The network as TorchScript, traced and frozen, for C++ and Python servers that run torch."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import torch
from torch import nn

from bundle.manifest import Manifest
from export.deployable import Deployable, refuse_train_mode
from export.job import Job, Written

EXTRA = "convoy.json"
"""The file inside the archive that `torch.jit.load(_extra_files=…)` reads."""


def write(job: Job, path: Path) -> Written:
    """Trace in eval mode with a batch of 2, freeze, save with labels and preprocessing inside."""
    manifest = job.checkpoint.manifest
    return script(Deployable(job.checkpoint.network, manifest).eval(), "torchscript", manifest, path)


def script(module: nn.Module, target: str, manifest: Manifest, path: Path) -> Written:
    """Write the module. Raises: GraphInvalid in train mode."""
    refuse_train_mode(target, module)
    crop = manifest.preprocess.crop
    example = torch.zeros(2, crop, crop, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch announces that TorchScript is deprecated
        traced = torch.jit.trace(module, (example,), check_trace=False)  # type: ignore[no-untyped-call]
        frozen = torch.jit.freeze(traced)
        content = io.BytesIO()
        torch.jit.save(frozen, content, _extra_files={EXTRA: metadata(manifest)})
    # Python writes it: where the disk is full, torch's own writer ends the process.
    path.write_bytes(content.getbuffer())
    return Written(path)


def metadata(manifest: Manifest) -> str:
    """Name, labels and preprocessing as JSON."""
    values = {
        "name": manifest.name,
        "labels": manifest.labels,
        "preprocess": manifest.preprocess.model_dump(mode="json"),
    }
    return json.dumps(values, ensure_ascii=False)
