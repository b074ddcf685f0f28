"""What runs each target: the file's own runtime, imported when it is needed.

No torch at module level, so that an ONNX bundle can be verified without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.cores import available_cores
from bundle.errors import ArtefactInvalid
from bundle.folder import Folder
from bundle.golden import Run, check_golden
from bundle.manifest import Artefact, BundleManifest
from bundle.preprocess import Pixels
from export.errors import TargetNeedsExtra
from export.targets import TARGETS

Probabilities = NDArray[np.float32]
"""[n, K]."""

Runner = Callable[[Path, Artefact, int], Run]
"""File, record, threads → uint8 [N, H, W, 3] → float32 [N, K]."""


def run_onnx(path: Path, artefact: Artefact, threads: int) -> Run:
    """ONNX and ORT files in onnxruntime."""
    from bundle.onnx_session import OnnxSession

    return OnnxSession(path, artefact, threads=threads).run


def run_torchscript(path: Path, _: Artefact, threads: int) -> Run:
    """TorchScript in torch. Its loader runs code: only for files whose checksum has passed."""
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces that TorchScript is deprecated
            module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ArtefactInvalid(path, " ".join(str(error).split())[:200]) from error

    @torch.inference_mode()
    def run(batch: Pixels) -> Probabilities:
        torch.set_num_threads(threads)
        answers: Probabilities = module(torch.from_numpy(np.ascontiguousarray(batch))).float().numpy()
        return answers

    return run


RUNNERS: dict[str, Runner] = {"onnx": run_onnx, "torchscript": run_torchscript}
"""By the name that a target gives."""


def open_artefact(root: Path, artefact: Artefact, threads: int | None = None) -> Run:
    """The artefact's file below `root`, loaded; `threads` for one batch, by default every core.

    Raises: ArtefactInvalid, TargetNeedsExtra.
    """
    target = TARGETS.get(artefact.target)
    if target is None or target.runner is None:
        raise ArtefactInvalid(root / artefact.path, f"nothing here runs target {artefact.target!r}")
    try:
        return RUNNERS[target.runner](root / artefact.path, artefact, threads or available_cores())
    except ModuleNotFoundError as error:
        raise TargetNeedsExtra(target.name, (error.name or "?").split(".")[0], target.extra) from error


def run_all(run: Run, batches: Iterable[Pixels]) -> Probabilities:
    """The answers for all batches, in order."""
    return np.concatenate([run(batch) for batch in batches])


def replay_golden(bundle: Folder[BundleManifest]) -> dict[str, float]:
    """Largest difference from the golden answers by target, but for unverified ones. Raises: GoldenMismatch."""
    return {
        artefact.target: check_golden(bundle, artefact, open_artefact(bundle.root, artefact))
        for artefact in bundle.manifest.artefacts
        if artefact.unverified is None
    }
