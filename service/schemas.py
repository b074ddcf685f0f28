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
