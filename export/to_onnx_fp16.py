"""The ONNX file with half-precision weights and arithmetic, for servers with a GPU: half the size.

uint8 in and float32 out stay as they are; normalisation and softmax run in half precision too, the class map's own
arithmetic does not.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx

from export.job import Job, Written
from export.map_proof import with_map
from export.onnx_map import take_map
from export.onnx_metadata import add_metadata
from export.targets import TARGETS


def write(job: Job, path: Path) -> Written:
    """Convert the fp32 file. Batch normalisation is already folded into its weights or stays as a node."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(job.written("onnx").path)
    part = take_map(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every weight that becomes a subnormal number
        model = convert_float_to_float16(model, keep_io_types=True)
    add_metadata(model, job.checkpoint.manifest)
    onnx.save_model(model, path)
    return with_map(job, TARGETS["onnx-fp16"], Written(path), part)
