"""The JSON of the answers, as the OpenAPI document describes it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class LabelProbability(BaseModel):
    """One class; `index` is its line in labels.txt, `probability` is calibrated, 0..1."""

    label: str
    index: int = Field(ge=0)
    probability: float = Field(ge=0, le=1)


class Answer(BaseModel):
    """The answer to one picture. `bundle` is the sha256 of the manifest: exactly what answered."""

    model: str
    version: str
    bundle: str
    predictions: list[LabelProbability]


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
