"""What runs each target: the file's own runtime, imported when it is needed.

No torch at module level, so that an ONNX bundle can be verified without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bundle.cores import available_cores
from bundle.errors import ArtefactInvalid
from bundle.folder import Folder
from bundle.golden import Run, check_golden
from bundle.manifest import Artefact, BundleManifest
from bundle.preprocess import Pixels
from export.errors import TargetNeedsExtra
from export.quiet import quiet
from export.targets import TARGETS

if TYPE_CHECKING:
    from export.litert_process import LiteRtProcess

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


def run_pt2(path: Path, _: Artefact, threads: int) -> Run:
    """AOTInductor's package in torch. It is a library that runs: only for files whose checksum has passed."""
    import torch

    try:
        with quiet():
            module = torch._inductor.aoti_load_package(str(path))
    except RuntimeError as error:
        raise ArtefactInvalid(path, " ".join(str(error).split())[:200]) from error

    @torch.inference_mode()
    def run(batch: Pixels) -> Probabilities:
        torch.set_num_threads(threads)
        answers: Probabilities = module(torch.from_numpy(np.ascontiguousarray(batch))).numpy()
        return answers

    return run


def run_executorch(path: Path, artefact: Artefact, _: int) -> Run:
    """A .pte in ExecuTorch's own runtime, picture after picture; the threads are the process's, see `prepare`."""
    import torch

    with quiet():
        from executorch.runtime import Runtime

    try:
        with silent_stderr():  # it complains of not running on a phone
            program = Runtime.get().load_program(path)
            method = program.load_method("forward")
    except RuntimeError as error:
        raise ArtefactInvalid(path, " ".join(str(error).split())[:200]) from error
    if method is None:
        raise ArtefactInvalid(path, "no method `forward`")

    def run(batch: Pixels) -> Probabilities:
        _check_batch(batch, artefact)
        pictures = torch.from_numpy(np.ascontiguousarray(batch))
        # The runtime's memory is used again at the next call: the answer is copied out first.
        answers = [method.execute([picture[None]])[0].clone() for picture in pictures]
        found: Probabilities = torch.cat(answers).numpy()
        return found

    run.program = program  # type: ignore[attr-defined]  # it must live as long as its method
    return run


def run_litert(path: Path, artefact: Artefact, threads: int) -> Run:
    """A .tflite in LiteRT's own runtime, picture after picture, in a process of its own environment."""
    from export.litert_process import LiteRtProcess

    process = _WAITING.pop() if _WAITING else LiteRtProcess(artefact.target)
    process.load(path, threads)

    def run(batch: Pixels) -> Probabilities:
        _check_batch(batch, artefact)
        return process.run(batch)

    run.memory_mb = lambda: process.memory_mb  # type: ignore[attr-defined]  # not this process's
    return run


_WAITING: list[LiteRtProcess] = []
"""A process that has read its library and waits for a file: what `prepare` leaves for `run_litert`."""

_LIBRARIES = {"onnx": "onnxruntime", "torchscript": "torch", "pt2": "torch", "executorch": "executorch.runtime"}


def prepare(artefact: Artefact, threads: int) -> None:
    """What a process does before it loads its only artefact: read the libraries, fix ExecuTorch's threads.

    They cannot be changed later. Raises: ModuleNotFoundError, EnvironmentMissing.
    """
    target = TARGETS.get(artefact.target)
    if target is None or target.runner is None:
        return
    if target.runner == "litert":
        from export.litert_process import LiteRtProcess

        _WAITING.append(LiteRtProcess(target.name))
        return
    with quiet():
        import_module(_LIBRARIES[target.runner])
    if target.runner == "executorch":
        from executorch.extension.pybindings import portable_lib

        portable_lib._unsafe_reset_threadpool(threads)


def _check_batch(batch: Pixels, artefact: Artefact) -> None:
    expected = artefact.inputs[0].shape[1:]
    if batch.dtype != np.uint8 or batch.shape[1:] != expected:
        raise ValueError(f"expected uint8 [N, {', '.join(map(str, expected))}], got {batch.dtype} {list(batch.shape)}")


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Nothing that C++ writes to standard error is seen."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


RUNNERS: dict[str, Runner] = {
    "onnx": run_onnx,
    "torchscript": run_torchscript,
    "pt2": run_pt2,
    "executorch": run_executorch,
    "litert": run_litert,
}
"""By the name that a target gives."""


def open_artefact(root: Path, artefact: Artefact, threads: int | None = None) -> Run:
    """The artefact's file below `root`, loaded; `threads` for one batch, by default every core.

    Raises: ArtefactInvalid, TargetNeedsExtra, EnvironmentMissing.
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
