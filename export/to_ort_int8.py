"""The int8 ONNX file in onnxruntime's own format."""

from __future__ import annotations

from pathlib import Path

from export.job import Job, Written
from export.ladder import Ladder
from export.targets import TARGETS
from export.to_ort import convert


def write(job: Job, path: Path) -> Written:
    """Convert what the ladder found for `onnx-int8`. Raises: NotQuantizable as it does."""
    source = job.written("onnx-int8")
    convert(source.path, path)
    ladder = Ladder(job, TARGETS["ort-int8"], "ort")
    figures = {"speed_up": round(ladder.speed_up(path), 3), "size_ratio": round(ladder.size_ratio(path), 4)}
    return Written(path, source.quantization and source.quantization.model_copy(update=figures))
