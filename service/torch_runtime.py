"""TorchScript in torch, on the GPU where there is one. Only where it is switched on: its loader runs code."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np

from bundle.errors import ArtefactInvalid
from bundle.folder import Folder
from bundle.manifest import Artefact, BundleManifest
from service.errors import SettingInvalid
from service.runtime import Batch, Maps, Options, Probabilities


class TorchRuntime:
    """A traced network, of a file whose checksum has passed. Raises: ArtefactInvalid, SettingInvalid without torch.

    `threads` is what torch uses within one call; torch keeps that number per process and per calling thread, so each
    thread is told once.
    """

    def __init__(self, bundle: Folder[BundleManifest], artefact: Artefact, threads: int, options: Options) -> None:
        try:
            import torch
        except ImportError as error:
            reason = "needs torch, which this installation lacks: pip install torch"
            raise SettingInvalid("CONVOY_TORCHSCRIPT", reason) from error
        self._torch, self._threads, self._told = torch, threads, threading.local()
        self._device = _device(torch, options)
        path = bundle.path(artefact)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch announces that TorchScript is deprecated
                self._module = torch.jit.load(str(path), map_location=self._device).eval()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise ArtefactInvalid(path, " ".join(str(error).split())[:200]) from error

    def run(self, batch: Batch) -> Probabilities:
        """float32 [N, K] of uint8 [N, H, W, 3]."""
        if not getattr(self._told, "yes", False):
            self._torch.set_num_threads(self._threads)
            self._told.yes = True
        with self._torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a decoded picture is read-only; nothing here writes to it
            pixels = self._torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
            found: Probabilities = self._module(pixels).float().cpu().numpy()
        return found

    explains = False

    def explain(self, _: Batch) -> tuple[Probabilities, Maps]:
        """Raises: ValueError: a traced network has no class map."""
        raise ValueError("TorchScript has no class map")

    def describe(self) -> dict[str, Any]:
        """The library, its version and the device, in the words that onnxruntime has for it."""
        provider = "CPUExecutionProvider" if self._device == "cpu" else "CUDAExecutionProvider"
        return {"runtime": "torch", "runtime_version": self._torch.__version__, "providers": [provider]}


def _device(torch: Any, options: Options) -> str:
    """Raises: SettingInvalid."""
    there = torch.cuda.is_available()
    if options.provider in ("cuda", "tensorrt") and not there:
        raise SettingInvalid("CONVOY_PROVIDER", f"torch finds no GPU for {options.provider}")
    return "cuda" if there and options.provider != "cpu" else "cpu"
