"""A bundle at work: bytes or a path in, labelled answers out. Opt-in: needs onnxruntime.

`convoy predict` answers through this class. The service takes the same steps, decode, preprocess, run and top_k, on
its own threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bundle.errors import ArtefactInvalid, ImageError
from bundle.folder import open_bundle
from bundle.golden import check_golden
from bundle.image import DEFAULT_LIMITS, DecodeLimits, decode
from bundle.onnx_session import OnnxSession
from bundle.preprocess import preprocess
from bundle.scores import Prediction, top_k

Observe = Callable[[str, float], None]
"""Called with a stage's name (decode, preprocess, infer) and its seconds."""


def _unobserved(stage: str, seconds: float) -> None:
    """Nobody measures."""


class Classifier:
    """Classifies single images with one artefact of a bundle; safe to share between threads.

    `threads` is per image. Raises: FolderError, ArtefactMissing; ArtefactInvalid for a target that is no ONNX file.
    """

    def __init__(
        self, path: Path, target: str = "onnx", *, limits: DecodeLimits = DEFAULT_LIMITS, threads: int = 1
    ) -> None:
        self.bundle = open_bundle(path)
        self.artefact = self.bundle.manifest.artefact(target)
        if not self.artefact.path.endswith(".onnx"):
            raise ArtefactInvalid(self.artefact.path, "only ONNX files are run here")
        self.session = OnnxSession(self.bundle.path(self.artefact), self.artefact, threads=threads)
        self._limits = limits

    def check_golden(self) -> float:
        """Replay the golden pictures; returns the largest difference. Raises: GoldenMismatch."""
        return check_golden(self.bundle, self.artefact, self.session.run)

    def classify(self, source: bytes | Path, k: int, observe: Observe = _unobserved) -> list[Prediction]:
        """The `k` most probable classes, best first. Raises: ImageError, OSError."""
        start = time.perf_counter()
        image = decode(source, self._limits)
        decoded = time.perf_counter()
        pixels = preprocess(image, self.bundle.manifest.preprocess)
        prepared = time.perf_counter()
        probabilities = self.session.run(pixels[np.newaxis])[0]
        inferred = time.perf_counter()
        observe("decode", decoded - start)
        observe("preprocess", prepared - decoded)
        observe("infer", inferred - prepared)
        return top_k(probabilities, self.bundle.manifest.labels, k)

    def try_file(self, path: Path, k: int) -> tuple[list[Prediction], str | None]:
        """The answers, or none and the reason: one bad file among many is no reason to stop."""
        try:
            return self.classify(path, k), None
        except (ImageError, OSError) as error:
            return [], str(error)
