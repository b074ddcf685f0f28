"""Is a file's class map PyTorch's own Grad-CAM? One that is not is left out: a map needs a proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from bundle.errors import ArtefactInvalid
from bundle.manifest import CLASS_MAP, MapParity
from bundle.onnx_session import OnnxSession
from bundle.preprocess import Pixels
from export.golden import choose
from export.job import Job, Written
from export.onnx_map import MapPart, drop_map, put_map
from export.proof import describe
from export.targets import Target
from models.checkpoint import Checkpoint
from models.inference import Normalise
from models.look import raw_grad_cam
from models.registry import find

Maps = NDArray[np.float32]
"""[n, h, w]."""

TOLERANCE = {"fp32": 1e-3, "fp16": None, "int8": None}
"""Of a map's largest value; measured at most 1e-5 over the zoo."""
MIN_CORRELATION = {"fp32": 0.999, "fp16": 0.99, "int8": 0.9}
"""Of a map's values with PyTorch's, mean over the pictures."""

_NOTHING = 1e-3
"""Of the largest value of all maps."""

_UNPROVEN = MapParity(n=1, max_relative_difference=0, tolerance=1e-9, correlation=1, min_correlation=1)
"""Stands in the record that opens the file for its own proof."""


def with_map(job: Job, target: Target, written: Written, part: MapPart | None) -> Written:
    """Put the map onto a converted file, unless it is not PyTorch's there."""
    if part is None:
        return written
    model = onnx.load(written.path)
    if not put_map(model, part):
        return written
    onnx.save_model(model, written.path)
    return keep_proven_map(job, target, written)


def keep_proven_map(job: Job, target: Target, written: Written) -> Written:
    """With the map's size and proof; a map that fails is taken out of the file, with everything that only it needs."""
    explained = unproven(written)
    if explained.map_size is None:
        return written
    parity = _proof(job, target, explained)
    if parity is None:
        drop_map(written.path)
        return written
    return replace(explained, class_map=parity)


def _proof(job: Job, target: Target, explained: Written) -> MapParity | None:
    """None also where the map's part keeps the file from loading: without it the file has its own proof to pass."""
    artefact = describe(target, job.checkpoint.manifest, explained)
    try:
        session = OnnxSession(explained.path, artefact)
    except ArtefactInvalid:
        return None
    return _measure(job, target, session)


def unproven(written: Written) -> Written:
    """With the class map that the file says to have, so that it can be opened; without one as it is."""
    for value in onnx.load(written.path, load_external_data=False).graph.output:
        if value.name == CLASS_MAP:
            _, height, width = (size.dim_value for size in value.type.tensor_type.shape.dim)
            return replace(written, class_map=_UNPROVEN, map_size=(height, width))
    return written


def _measure(job: Job, target: Target, session: OnnxSession) -> MapParity | None:
    """On the golden pictures, each for the class that the file itself puts first."""
    pixels = np.asarray(job.evaluation.tensors[choose(job.evaluation.pictures)])
    probabilities, found = session.explain(pixels)
    expected = torch_maps(job.checkpoint, pixels, probabilities.argmax(axis=1))
    return compare_maps(found, expected, TOLERANCE[target.precision], MIN_CORRELATION[target.precision])


def torch_maps(checkpoint: Checkpoint, pixels: Pixels, classes: Sequence[int] | NDArray[np.integer]) -> Maps:
    """PyTorch's Grad-CAM of one class for each of uint8 [n, H, W, 3], by gradients."""
    layer = find(checkpoint.manifest.architecture.name).cam
    inputs = Normalise(checkpoint.manifest.preprocess)(torch.from_numpy(pixels))
    pairs = zip(inputs, classes, strict=True)
    return np.stack([raw_grad_cam(checkpoint.network, layer, picture[None], int(index)) for picture, index in pairs])


def compare_maps(found: Maps, expected: Maps, tolerance: float | None, min_correlation: float) -> MapParity | None:
    """The record of maps against PyTorch's; None where they are not the same."""
    if found.shape != expected.shape or not np.isfinite(found).all() or found.min() < 0:
        return None
    # Where next to nothing speaks for a class, a map is rounding errors.
    least = max(_NOTHING * float(expected.max()), 1e-12)
    difference = max(_difference(one, other, least) for one, other in zip(found, expected, strict=True))
    correlation = float(np.mean([_correlation(one, other, least) for one, other in zip(found, expected, strict=True)]))
    if (tolerance is not None and difference > tolerance) or correlation < min_correlation:
        return None
    return MapParity(
        n=len(found),
        max_relative_difference=difference,
        tolerance=tolerance,
        correlation=correlation,
        min_correlation=min_correlation,
    )


def _difference(found: Maps, expected: Maps, least: float) -> float:
    """As a share of the expected map's largest value."""
    return float(np.abs(found - expected).max() / max(float(expected.max()), least))


def _correlation(found: Maps, expected: Maps, least: float) -> float:
    """Pearson's; where there is nothing to correlate 1 if the maps are equal, else 0."""
    if max(np.ptp(found), np.ptp(expected)) <= least:
        return float(np.allclose(found, expected, atol=least))
    one, other = (values.astype(np.float64).ravel() - values.mean(dtype=np.float64) for values in (found, expected))
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.clip(one @ other / norm, -1, 1)) if norm else 0.0
