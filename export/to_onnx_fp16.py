"""The ONNX file with half-precision weights and arithmetic, for servers with a GPU: half the size.

uint8 in and float32 out stay as they are; normalisation and softmax run in half precision too.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx

from export.job import Job, Written
from export.onnx_metadata import add_metadata


def write(job: Job, path: Path) -> Written:
    """Convert the fp32 file. Batch normalisation is already folded into its weights or stays as a node."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(job.written("onnx").path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every weight that becomes a subnormal number
        model = convert_float_to_float16(model, keep_io_types=True)
    add_metadata(model, job.checkpoint.manifest)
    onnx.save_model(model, path)
    return Written(path)
