"""What runs each target: the file's own runtime. No torch here, so that a bundle can be verified without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.cores import available_cores
from bundle.folder import Folder
from bundle.golden import Run, check_golden
from bundle.manifest import Artefact, BundleManifest
from bundle.onnx_session import OnnxSession
from bundle.preprocess import Pixels
from export.errors import UnknownTarget

Probabilities = NDArray[np.float32]
"""[n, K]."""


def run_onnx(path: Path, artefact: Artefact) -> Run:
    """The artefact in onnxruntime, with every core for one batch."""
    return OnnxSession(path, artefact, threads=available_cores()).run


RUNNERS: dict[str, Callable[[Path, Artefact], Run]] = {"onnx": run_onnx}
"""By target."""


def open_artefact(root: Path, artefact: Artefact) -> Run:
    """The artefact's file below `root`, loaded. Raises: UnknownTarget, ArtefactInvalid."""
    if artefact.target not in RUNNERS:
        raise UnknownTarget(artefact.target, RUNNERS)
    return RUNNERS[artefact.target](root / artefact.path, artefact)


def run_all(run: Run, batches: Iterable[Pixels]) -> Probabilities:
    """The answers for all batches, in order."""
    return np.concatenate([run(batch) for batch in batches])


def replay_golden(bundle: Folder[BundleManifest]) -> dict[str, float]:
    """Largest difference from the golden answers by target. Raises: GoldenMismatch."""
    return {
        artefact.target: check_golden(bundle, artefact, open_artefact(bundle.root, artefact))
        for artefact in bundle.manifest.artefacts
    }
