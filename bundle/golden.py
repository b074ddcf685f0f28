"""Golden answers: pictures whose tensors and probabilities were recorded at export and must come out again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.errors import GoldenMismatch, ManifestInvalid
from bundle.folder import Folder
from bundle.image import DEFAULT_LIMITS, decode
from bundle.manifest import Artefact, BundleManifest, FileRecord, Golden
from bundle.preprocess import Pixels, preprocess

Run = Callable[[Pixels], NDArray[np.float32]]
"""uint8 [N, H, W, 3] → float32 [N, K]."""

GOLDEN_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2, "int8": 0.1}
"""Largest allowed difference of a probability between the exporting machine and this one.

Kernels differ between processors (fused multiply-add, VNNI); preprocessing does not, and is compared exactly.
"""


def check_golden(bundle: Folder[BundleManifest], artefact: Artefact, run: Run, pictures: int | None = None) -> float:
    """Replay every golden picture, or the first so many; returns the largest difference of a probability.

    Raises: GoldenMismatch when a pixel differs, or a probability by more than GOLDEN_TOLERANCE. A near tie may flip
    within the tolerance.
    """
    answers = golden_answers(bundle, artefact)
    pairs = islice(zip(bundle.manifest.golden, answers, strict=True), pictures)
    return max(_check(bundle, artefact, golden, answer, run) for golden, answer in pairs)


def golden_answers(bundle: Folder[BundleManifest], artefact: Artefact) -> list[NDArray[np.generic]]:
    """The probabilities [K] of each golden picture: the artefact's own where it recorded some, else PyTorch's.

    Raises: ManifestInvalid when their number is another than the pictures'.
    """
    if artefact.golden is None:
        return [read_array(bundle, golden.probabilities) for golden in bundle.manifest.golden]
    answers = read_array(bundle, artefact.golden)
    if answers.ndim != 2 or len(answers) != len(bundle.manifest.golden):
        raise ManifestInvalid(
            bundle.path(artefact.golden), f"{answers.shape} for {len(bundle.manifest.golden)} pictures"
        )
    return list(answers)


def _check(
    bundle: Folder[BundleManifest], artefact: Artefact, golden: Golden, expected: NDArray[np.generic], run: Run
) -> float:
    path = bundle.path(golden.image)
    pixels = preprocess(decode(path, DEFAULT_LIMITS), bundle.manifest.preprocess)
    expected_pixels = read_array(bundle, golden.tensor)
    if pixels.shape != expected_pixels.shape or not np.array_equal(pixels, expected_pixels):
        raise GoldenMismatch(path, f"preprocessing gave other pixels ({_pixel_difference(pixels, expected_pixels)})")
    probabilities = run(pixels[np.newaxis])[0]
    if probabilities.shape != expected.shape or not np.isfinite(probabilities).all():
        raise GoldenMismatch(path, f"{artefact.target} gave {probabilities.shape}, not finite {expected.shape}")
    difference = float(np.abs(probabilities - expected).max())
    tolerance = GOLDEN_TOLERANCE[artefact.precision]
    if not difference <= tolerance:  # NaN is no match either
        raise GoldenMismatch(path, f"{artefact.target} differs by {difference:.2g}, allowed {tolerance:.2g}")
    return difference


def read_array(bundle: Folder[BundleManifest], record: FileRecord) -> NDArray[np.generic]:
    """A golden .npy; never unpickles. Raises: ManifestInvalid when it is not one."""
    path = bundle.path(record)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ManifestInvalid(path, f"not a plain .npy file: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ManifestInvalid(path, "not a plain .npy file: an archive of several")
    return array


def write_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write one golden .npy, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=False)


def _pixel_difference(found: Pixels, expected: NDArray[np.generic]) -> str:
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}"
    difference = np.abs(found.astype(np.int16) - expected.astype(np.int16))
    return f"{np.count_nonzero(difference)} of {difference.size} values, by up to {difference.max()}"
