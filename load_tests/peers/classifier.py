"""What every peer does with a picture: the smallest code in Pillow and numpy that sees what the bundle's own does.

Environment variables name the file and its labels: PEERS_MODEL (an ONNX file, uint8 [N, H, W, 3] to float32 [N, K], so
mean, std and softmax are inside) and PEERS_MANIFEST (the bundle's manifest.json); PEERS_CORES is the number of cores.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image, ImageOps

CORES = int(os.environ["PEERS_CORES"])


class Classifier:
    """One session; `threads` is onnxruntime's `intra_op_num_threads`, 0 for its own default (every core)."""

    def __init__(self, threads: int = 0) -> None:
        manifest = json.loads(Path(os.environ["PEERS_MANIFEST"]).read_text(encoding="utf-8"))
        self.labels: list[str] = manifest["labels"]
        self.resize: int = manifest["preprocess"]["resize"]
        self.crop: int = manifest["preprocess"]["crop"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(os.environ["PEERS_MODEL"], options, providers=["CPUExecutionProvider"])

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """uint8 [crop, crop, 3]: upright, the short side resized, then the centre."""
        ImageOps.exif_transpose(image, in_place=True)
        image = image.convert("RGB")
        width, height = image.size
        short = min(width, height)
        image = image.resize((width * self.resize // short, height * self.resize // short), Image.Resampling.BILINEAR)
        left, top = round((image.width - self.crop) / 2), round((image.height - self.crop) / 2)
        return np.asarray(image.crop((left, top, left + self.crop, top + self.crop)))

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [N, K] of uint8 [N, crop, crop, 3]."""
        (probabilities,) = self.session.run(["probabilities"], {"image": batch})
        return probabilities

    def answer(self, probabilities: NDArray[np.float32]) -> dict[str, Any]:
        """The five most probable classes of one picture."""
        best = np.argsort(probabilities)[::-1][:5]
        return {
            "predictions": [
                {"label": self.labels[index], "index": int(index), "probability": float(probabilities[index])}
                for index in best
            ]
        }

    def classify(self, image: Image.Image) -> dict[str, Any]:
        """One picture's whole way after decoding."""
        return self.answer(self.run(self.pixels(image)[np.newaxis])[0])
