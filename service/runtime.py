"""What runs an artefact: a small interface, and onnxruntime or, where it is switched on, torch behind it.

A runtime takes a uint8 [N, H, W, 3] batch and gives float32 [N, K] probabilities; it may be called from several
threads at a time. Nothing else of the service knows which library answers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bundle.errors import ArtefactMissing
from bundle.folder import Folder
from bundle.manifest import Artefact, BundleManifest
from bundle.onnx_session import OnnxSession
from service.errors import SettingInvalid

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


LARGEST_MEASURED = 32
"""The largest batch that a start tries by itself."""

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]

CPU = "CPUExecutionProvider"
_NAMES = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


@dataclass(frozen=True)
class Options:
    """`provider`: where onnxruntime computes; `auto` is CUDA where this build of it has it, else the CPU.

    torchscript: whether TorchScript may be loaded; its loader runs what is in the file. max_batch: the largest one
    that TensorRT prepares for. cache: where it keeps the engines it has built, empty for nowhere.
    """

    provider: Provider = "auto"
    torchscript: bool = False
    max_batch: int = LARGEST_MEASURED
    cache: Path | None = None


DEFAULT = Options()

Load = Callable[[Folder[BundleManifest], Artefact, int, Options], Runtime]
"""(bundle, artefact, threads per call, options) → runtime. Raises: FolderError, SettingInvalid."""


class OnnxRuntime:
    """onnxruntime where `options` says. Raises: ArtefactInvalid, SettingInvalid."""

    def __init__(self, bundle: Folder[BundleManifest], artefact: Artefact, threads: int, options: Options) -> None:
        chosen = providers(options, artefact)
        self._session = OnnxSession(bundle.path(artefact), artefact, threads=threads, providers=chosen)
        # onnxruntime goes on with the next provider when one cannot be loaded, with a line in its log at most.
        if options.provider != "auto" and self._session.providers[0] != _name(chosen[0]):
            reason = f"{_name(chosen[0])} could not be loaded here: are its libraries installed?"
            raise SettingInvalid("CONVOY_PROVIDER", reason)

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


ProviderChoice = str | tuple[str, dict[str, Any]]


def providers(options: Options, artefact: Artefact) -> list[ProviderChoice]:
    """In order of preference. Raises: SettingInvalid for one that this build of onnxruntime lacks."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    wanted = _NAMES.get(options.provider)
    if wanted is not None and wanted not in there:
        raise SettingInvalid("CONVOY_PROVIDER", f"this onnxruntime has {', '.join(there)}, and no {wanted}")
    if options.provider == "cpu":
        return [CPU]
    rest = [name for name in (_NAMES["cuda"], CPU) if name in there]
    return [(_NAMES["tensorrt"], _tensorrt(options, artefact)), *rest] if options.provider == "tensorrt" else [*rest]


def _tensorrt(options: Options, artefact: Artefact) -> dict[str, Any]:
    """One engine for every batch size, kept: each new shape would build another one, for minutes."""
    (image, *_), size = artefact.inputs, options.max_batch
    shape = "x".join(str(side) for side in image.shape[1:])
    found: dict[str, Any] = {
        "trt_profile_min_shapes": f"{image.name}:1x{shape}",
        "trt_profile_opt_shapes": f"{image.name}:{size}x{shape}",
        "trt_profile_max_shapes": f"{image.name}:{size}x{shape}",
    }
    if options.cache is not None:
        found |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(options.cache / "tensorrt")}
    return found


def _name(choice: ProviderChoice) -> str:
    return choice if isinstance(choice, str) else choice[0]


def _onnxruntime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _torchscript(bundle: Folder[BundleManifest], artefact: Artefact, threads: int, options: Options) -> Runtime:
    from service.torch_runtime import TorchRuntime

    return TorchRuntime(bundle, artefact, threads, options)


LOADERS: dict[str, Load] = {".onnx": OnnxRuntime, ".ts": _torchscript}
"""By the artefact's suffix."""


def suffixes(options: Options) -> Collection[str]:
    """Of the files that may be loaded."""
    return LOADERS if options.torchscript else LOADERS.keys() - {".ts"}


def servable(artefact: Artefact, options: Options) -> bool:
    """Whether a runtime here can answer with it: proven, of a known file type, uint8 NHWC in, float32 out."""
    suffix = "." + artefact.path.rpartition(".")[2]
    (first, *others) = artefact.inputs
    fits = suffix in suffixes(options) and not others and first.dtype == "uint8" and first.shape[-1] == 3
    return fits and artefact.unverified is None


def passed(artefact: Artefact) -> bool:
    """fp32 needs its parity, which every published artefact has; anything smaller also a measured accuracy."""
    return artefact.precision == "fp32" or (artefact.accuracy is not None and artefact.accuracy.passed)


def candidates(manifest: BundleManifest, wanted: str, options: Options = DEFAULT) -> list[Artefact]:
    """The artefacts to choose from: the wanted one, or with `auto` all that can be served and passed their gates.

    Raises: ArtefactMissing; SettingInvalid for a TorchScript file that is not switched on.
    """
    found = [artefact for artefact in manifest.artefacts if servable(artefact, options)]
    if wanted != "auto":
        found = [artefact for artefact in found if artefact.target == wanted]
        if not found and wanted.startswith("torchscript") and not options.torchscript:
            raise SettingInvalid("CONVOY_ARTEFACT", f"{wanted} is loaded only with CONVOY_TORCHSCRIPT=on")
    elif gated := [artefact for artefact in found if passed(artefact)]:
        found = gated
    if not found:
        raise ArtefactMissing(wanted, [artefact.target for artefact in manifest.artefacts])
    return found


def load_runtime(
    bundle: Folder[BundleManifest], artefact: Artefact, threads: int, options: Options = DEFAULT
) -> Runtime:
    """The runtime of a servable artefact. Raises: ArtefactInvalid, SettingInvalid."""
    return LOADERS["." + artefact.path.rpartition(".")[2]](bundle, artefact, threads, options)
