"""The int8 ONNX file in onnxruntime's own format."""

from __future__ import annotations

import tempfile
from pathlib import Path

from export.errors import GraphInvalid
from export.job import Job, Written
from export.ladder import Ladder, Operators
from export.onnx_quantizer import count_operators
from export.targets import TARGETS
from export.to_ort import convert


def write(job: Job, path: Path) -> Written:
    """Convert what the ladder found for `onnx-int8`. Raises: NotQuantizable, as it does or for this file."""
    source = job.written("onnx-int8")
    if source.quantization is None:
        raise GraphInvalid("ort-int8", "nobody knows how its source was quantized")
    convert(source.path, path)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        operators = Operators(*count_operators(path, Path(scratch)))
    return Written(path, Ladder(job, TARGETS["ort-int8"], "ort").convert(source.quantization, path, operators))
