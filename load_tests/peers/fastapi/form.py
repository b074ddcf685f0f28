"""FastAPI as its documentation has file uploads; uvicorn runs a worker per core."""

from __future__ import annotations

from classifier import Classifier
from fastapi import FastAPI, UploadFile
from PIL import Image

app = FastAPI()
classifier = Classifier(threads=1)


@app.post("/predict")
def predict(image: UploadFile) -> dict:
    return classifier.classify(Image.open(image.file))
