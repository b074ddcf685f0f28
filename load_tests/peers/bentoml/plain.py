"""BentoML as its documentation begins: one worker, a picture as parameter."""

from __future__ import annotations

import bentoml
from classifier import Classifier
from PIL import Image


@bentoml.service
class Plain:
    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api
    def predict(self, image: Image.Image) -> dict:
        return self.classifier.classify(image)
