"""FastAPI with the picture as the request's body, worked on at once in the event loop: no thread, no form."""

from __future__ import annotations

from io import BytesIO

from classifier import Classifier
from fastapi import FastAPI, Request
from PIL import Image

app = FastAPI()
classifier = Classifier(threads=1)


@app.post("/predict")
async def predict(request: Request) -> dict:
    return classifier.classify(Image.open(BytesIO(await request.body())))
