"""The worst mistakes: wrong answers that the model was surest of, and where in the picture it saw them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import nn

from bundle.manifest import Preprocess
from models.data import Pictures
from models.inference import Normalise
from models.look import grad_cam
from models.measure import Answers
from models.paint import overlay
from models.registry import Entry

MOST = 24
SIDE = 176
"""Pixels of a thumbnail, the longest side of what a phone shows twice beside each other."""

QUALITY = 80


@dataclass(frozen=True)
class Mistake:
    """`picture`, `heat`: data addresses of what the network saw, and of what spoke for its answer laid over it.

    truth, answer: class indices. probability, of_truth: of the answer and of the true class, calibrated.
    """

    name: str
    truth: int
    answer: int
    probability: float
    of_truth: float
    picture: str
    heat: str


def worst_mistakes(
    network: nn.Module, entry: Entry, spec: Preprocess, answers: Answers, pictures: Pictures, most: int = MOST
) -> list[Mistake]:
    """At most `most`, the surest first. The class activation map is of the wrong answer (`models.look.grad_cam`)."""
    evaluation = answers.calibrated
    wrong = (~evaluation.correct).nonzero().flatten()
    order = evaluation.confidence[wrong].argsort(descending=True, stable=True)
    chosen: list[int] = wrong[order][:most].tolist()
    tensors = replace(pictures, samples=tuple(pictures.samples[index] for index in chosen)).tensors(spec)
    normalise, training = Normalise(spec), network.training
    network.eval()
    mistakes = []
    for index, pixels in zip(chosen, tensors, strict=True):
        answer, truth = int(evaluation.answers[index]), int(evaluation.labels[index])
        picture = Image.fromarray(pixels)
        heat = grad_cam(network, entry.cam, normalise(torch.from_numpy(pixels.copy())[None]), answer)
        mistakes.append(
            Mistake(
                name="/".join(pictures.samples[index].path.parts[-2:]),
                truth=truth,
                answer=answer,
                probability=float(evaluation.probabilities[index, answer]),
                of_truth=float(evaluation.probabilities[index, truth]),
                picture=thumbnail(picture),
                heat=thumbnail(overlay(picture, heat)),
            )
        )
    network.train(training)
    return mistakes


def thumbnail(image: Image.Image) -> str:
    """A JPEG of 176 pixels inside an address; small pictures are enlarged in whole steps, pixel by pixel."""
    zoom = SIDE // max(image.size)
    if zoom > 1:
        image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    else:
        image = image.copy()
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
