"""onnxruntime's own format, for its mobile builds: read without protobuf."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from export import child
from export.errors import ConverterFailed
from export.job import Job, Written
from export.onnx_map import drop_map

_TOOL = "onnxruntime.tools.convert_onnx_models_to_ort"


def write(job: Job, path: Path) -> Written:
    """Convert the fp32 ONNX file."""
    convert(job.written("onnx").path, path)
    return Written(path)


def convert(model: Path, path: Path) -> None:
    """ONNX → ORT, optimised for ARM: fusions that only x86 has are left out. Without the class map, which a phone
    would compute with every answer: its runtimes do not leave out what nobody asks for.

    In a process of its own: the tool prints every step and leaves files open. Raises: ConverterFailed.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        source = Path(scratch) / "model.onnx"
        shutil.copyfile(model, source)
        drop_map(source)
        options = ["--optimization_style", "Fixed", "--target_platform", "arm"]
        done = subprocess.run(
            child.command(_TOOL, str(source), *options), env=child.environment(), capture_output=True, text=True
        )
        if done.returncode != 0:
            raise ConverterFailed("ort", done.stderr)
        shutil.move(source.with_suffix(".ort"), path)
