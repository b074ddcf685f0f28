"""BentoML with a worker per core, one onnxruntime thread each, and the picture as the request's body."""

from __future__ import annotations

import bentoml
from classifier import CORES, Classifier
from PIL import Image


@bentoml.service(workers=CORES, logging={"access": {"enabled": False}})
class Workers:
    def __init__(self) -> None:
        self.classifier = Classifier(threads=1)

    @bentoml.api
    def predict(self, image: Image.Image, /) -> dict:
        return self.classifier.classify(image)
