"""Core ML with 8-bit weights by channel; activations stay in half precision, so nothing is calibrated."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from coremltools.optimize.coreml import OpLinearQuantizerConfig, OptimizationConfig, linear_quantize_weights

from export.job import Job, Written
from export.quiet import quiet
from export.to_coreml import convert, save


def write(job: Job, path: Path) -> Written:
    """A zipped .mlpackage. Raises: GraphInvalid."""
    model = convert(job)
    config = OptimizationConfig(OpLinearQuantizerConfig(mode="linear_symmetric", granularity="per_channel"))
    with quiet(), redirect_stderr(StringIO()):
        model = linear_quantize_weights(model, config)
    return save(model, job.checkpoint.manifest, path)
