"""What runs an artefact: a small interface, and onnxruntime behind it.

A runtime takes a uint8 [N, H, W, 3] batch and gives float32 [N, K] probabilities; it may be called from several
threads at a time. Nothing else of the service knows which library answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bundle.errors import ArtefactMissing
from bundle.folder import Folder
from bundle.manifest import Artefact, BundleManifest
from bundle.onnx_session import OnnxSession

Batch = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
Maps = NDArray[np.float32]
"""[N, h, w], 0 and more: where the network saw each picture's most probable class."""


class Runtime(Protocol):
    """Runs one artefact. Made by a loader; safe to share between threads."""

    def run(self, batch: Batch) -> Probabilities:
        """float32 [N, K] of uint8 [N, H, W, 3], N ≥ 1."""

    @property
    def explains(self) -> bool:
        """Whether `explain` can be asked."""

    def explain(self, batch: Batch) -> tuple[Probabilities, Maps]:
        """The probabilities as `run` gives them, and the class maps. Raises: ValueError where there are none."""

    def describe(self) -> dict[str, Any]:
        """JSON values: `runtime`, `runtime_version`, and where it computes."""


Load = Callable[[Folder[BundleManifest], Artefact, int], Runtime]
"""(bundle, artefact, threads per call) → runtime. Raises: FolderError."""


class OnnxRuntime:
    """onnxruntime on the first of the machine's accelerators that it was built for, else on the CPU."""

    def __init__(self, bundle: Folder[BundleManifest], artefact: Artefact, threads: int) -> None:
        self._session = OnnxSession(bundle.path(artefact), artefact, threads=threads, providers=providers())

    def run(self, batch: Batch) -> Probabilities:
        """float32 [N, K] of uint8 [N, H, W, 3]."""
        return self._session.run(batch)

    @property
    def explains(self) -> bool:
        """Whether the artefact has a class map."""
        return self._session.explains

    def explain(self, batch: Batch) -> tuple[Probabilities, Maps]:
        """float32 [N, K] and [N, h, w] of uint8 [N, H, W, 3]."""
        return self._session.explain(batch)

    def describe(self) -> dict[str, Any]:
        """The library, its version and its execution providers."""
        return {
            "runtime": "onnxruntime",
            "runtime_version": _onnxruntime_version(),
            "providers": self._session.providers,
        }


def providers() -> tuple[str, ...]:
    """CUDA before the CPU where this build of onnxruntime has it."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return tuple(name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available)


def _onnxruntime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


LOADERS: dict[str, Load] = {".onnx": OnnxRuntime}
"""By the artefact's suffix."""


def servable(artefact: Artefact) -> bool:
    """Whether a runtime here can answer with it: a known file type, uint8 NHWC in, float32 out."""
    suffix = "." + artefact.path.rpartition(".")[2]
    (first, *others) = artefact.inputs
    return suffix in LOADERS and not others and first.dtype == "uint8" and first.shape[-1] == 3


def passed(artefact: Artefact) -> bool:
    """fp32 needs its parity, which every published artefact has; anything smaller also a measured accuracy."""
    return artefact.precision == "fp32" or (artefact.accuracy is not None and artefact.accuracy.passed)


def candidates(manifest: BundleManifest, wanted: str) -> list[Artefact]:
    """The artefacts to choose from: the wanted one, or with `auto` all that can be served and passed their gates.

    Raises: ArtefactMissing.
    """
    found = [artefact for artefact in manifest.artefacts if servable(artefact)]
    if wanted != "auto":
        found = [artefact for artefact in found if artefact.target == wanted]
    elif gated := [artefact for artefact in found if passed(artefact)]:
        found = gated
    if not found:
        raise ArtefactMissing(wanted, [artefact.target for artefact in manifest.artefacts])
    return found


def load_runtime(bundle: Folder[BundleManifest], artefact: Artefact, threads: int) -> Runtime:
    """The runtime of a servable artefact. Raises: ArtefactInvalid."""
    return LOADERS["." + artefact.path.rpartition(".")[2]](bundle, artefact, threads)
