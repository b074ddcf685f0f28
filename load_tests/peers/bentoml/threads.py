"""BentoML with one worker, a thread per core in it, one onnxruntime thread each, and the picture as the body."""

from __future__ import annotations

import bentoml
from classifier import CORES, Classifier
from PIL import Image


@bentoml.service(threads=CORES, logging={"access": {"enabled": False}})
class Threads:
    def __init__(self) -> None:
        self.classifier = Classifier(threads=1)

    @bentoml.api
    def predict(self, image: Image.Image, /) -> dict:
        return self.classifier.classify(image)
