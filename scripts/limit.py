"""What the machine gives without a service: the same pictures through the same file in this process."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

import numpy as np

from bundle.folder import open_bundle
from bundle.image import decode
from bundle.onnx_session import OnnxSession
from bundle.preprocess import preprocess
from bundle.scores import Prediction, top_k


class Limit:
    """Decode, preprocess, run and top-5 of `pictures`, one onnxruntime thread a caller."""

    def __init__(self, bundle: Path, pictures: list[bytes], target: str = "onnx") -> None:
        opened = open_bundle(bundle)
        self._manifest = opened.manifest
        artefact = self._manifest.artefact(target)
        self._session = OnnxSession(opened.path(artefact), artefact, threads=1)
        self._pictures = pictures

    def one(self, number: int) -> list[Prediction]:
        """One picture's whole way."""
        image = decode(self._pictures[number % len(self._pictures)])
        pixels = preprocess(image, self._manifest.preprocess)
        return top_k(self._session.run(pixels[np.newaxis])[0], self._manifest.labels, 5)

    def per_second(self, threads: int, seconds: float) -> float:
        """Pictures per second on so many threads."""
        until, counts = time.perf_counter() + seconds, [0] * threads

        def loop(lane: int) -> None:
            while time.perf_counter() < until:
                self.one(lane + counts[lane] * threads)
                counts[lane] += 1

        started = time.perf_counter()
        running = [threading.Thread(target=loop, args=(lane,)) for lane in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)

    def median_ms(self, count: int) -> float:
        """One picture after the other on one thread."""
        times = []
        for number in range(count):
            started = time.perf_counter()
            self.one(number)
            times.append(1000 * (time.perf_counter() - started))
        return statistics.median(times)
