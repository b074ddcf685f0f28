"""The JSON of the answers, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class LabelProbability(BaseModel):
    """One class; `index` is its line in labels.txt, `probability` is calibrated, 0..1."""

    label: str
    index: int = Field(ge=0)
    probability: float = Field(ge=0, le=1)


class Crop(BaseModel):
    """The part of the upright picture that the network saw, as shares of its width and height."""

    left: float = Field(ge=0, le=1)
    top: float = Field(ge=0, le=1)
    width: float = Field(gt=0, le=1)
    height: float = Field(gt=0, le=1)


class Explanation(BaseModel):
    """Where the network saw the most probable class: a PNG to lay over `crop` of the picture.

    Its palette index is the heat, 0..255 of the map's largest; cold is clear.
    """

    label: str
    index: int = Field(ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    crop: Crop
    png: str = Field(json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/png"})


class Answer(BaseModel):
    """The answer to one picture. `bundle` is the sha256 of the manifest: exactly what answered.

    `explanation` is there where it was asked for.
    """

    model: str
    version: str
    bundle: str
    predictions: list[LabelProbability]
    explanation: Explanation | None = None


class Problem(BaseModel):
    """RFC 9457; `error` repeats `detail` for clients that look there."""

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    error: str


class Result(BaseModel):
    """What became of one picture of several: exactly one of the two."""

    predictions: list[LabelProbability] | None = None
    problem: Problem | None = None


class BatchAnswer(BaseModel):
    """The answers to several pictures, in their order."""

    model: str
    version: str
    bundle: str
    results: list[Result]


class ModelSummary(BaseModel):
    """One line of /models."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: str
    bundle: str
    classes: int = Field(ge=2)
    target: str
    precision: str
    explains: bool
    runtime: str


class ModelList(BaseModel):
    """Everything that is loaded."""

    models: list[ModelSummary]


class ModelDescription(ModelSummary):
    """Everything that the bundle says of itself, and how it is served."""

    versions: list[str]
    labels: list[str]
    preprocess: dict[str, Any]
    metrics: dict[str, Any] | None
    artefact: dict[str, Any]
    batching: dict[str, Any]
    provenance: dict[str, Any]


class LabelScore(BaseModel):
    """Hugging Face's shape of a prediction."""

    label: str
    score: float = Field(ge=0, le=1)
