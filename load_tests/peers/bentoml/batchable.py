"""BentoML's adaptive batching: one worker, whose session has every core."""

from __future__ import annotations

import bentoml
import numpy as np
from classifier import Classifier
from PIL import Image


@bentoml.service
class Batchable:
    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=60_000)
    def predict(self, images: list[Image.Image]) -> list[dict]:
        batch = np.stack([self.classifier.pixels(image) for image in images])
        return [self.classifier.answer(row) for row in self.classifier.run(batch)]
