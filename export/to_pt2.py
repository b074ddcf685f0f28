"""AOTInductor: the network compiled by torch for this machine's processor, a library in a package.

Its loader runs what is in it, and it fits one kind of processor and one release of torch: offered by name only.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import torch

from export.deployable import Deployable, refuse_train_mode
from export.errors import CompilerMissing
from export.job import Job, Written
from export.quiet import quiet
from export.to_torchscript import metadata

METADATA = "convoy"
"""The key under which the package's metadata holds name, labels and preprocessing as JSON."""

_FOLDERS = re.compile(rb"/(?:[\w.+-]+/)+(?=[\w.+-]+\.(?:cpp|h)\0)")
"""Of source files, in the messages that the library would fail with."""


def write(job: Job, path: Path) -> Written:
    """torch.export with a batch of any size, then torch's compiler and g++. Raises: CompilerMissing."""
    manifest = job.checkpoint.manifest
    module = Deployable(job.checkpoint.network, manifest).eval()
    refuse_train_mode("pt2", module)
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise CompilerMissing("pt2")
    crop = manifest.preprocess.crop
    example = torch.zeros(2, crop, crop, 3, dtype=torch.uint8)
    # Line tables name every source file by its absolute path.
    options = {"aot_inductor.enable_line_tables": False, "aot_inductor.metadata": {METADATA: metadata(manifest)}}
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, quiet(), torch.no_grad():
        program = torch.export.export(module, (example,), dynamic_shapes={"image": {0: torch.export.Dim("N", min=1)}})
        package = torch._inductor.aoti_compile_and_package(
            program, package_path=str(Path(scratch) / "model.pt2"), inductor_configs=options
        )
        without_sources(Path(package), path)
    return Written(path)


def without_sources(package: Path, path: Path) -> None:
    """The package without the C++ that it was compiled from and without this machine's folders."""
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".cpp"):
                target.writestr(entry, _FOLDERS.sub(lambda found: b"/" * len(found[0]), source.read(entry)))
