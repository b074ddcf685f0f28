"""What a training run is: every setting, checked when it is made, written into the checkpoint as resolved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from bundle.manifest import Preprocess, Record
from models.errors import RecipeInvalid
from models.registry import find
from models.weights import NONE

Positive = Annotated[int, Field(ge=1)]


class Recipe(Record):
    """The settings of one training run.

    transfer: `head` trains only a new last layer on frozen features; `full` trains everything.
    augment: `none`, or `light` (random crop of 35-100 % of the area, horizontal flip).
    validation_share: of a folder without train/ and val/.
    """

    arch: str
    weights: str = NONE
    data: str
    transfer: Literal["head", "full"]
    augment: Literal["none", "light"]
    epochs: Positive
    batch_size: Positive = 32
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    skip_bad: bool = False
    preprocess: Preprocess | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.transfer == "head" and self.weights == NONE:
            raise ValueError("transfer=head needs trained weights: give --weights imagenet or a file")
        return self

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def resolve_recipe(arch: str, data: Path, *, weights: str = NONE, **given: Any) -> Recipe:
    """A recipe with defaults that follow from what is trained; settings that are None count as not given.

    Raises: UnknownArchitecture, RecipeInvalid.
    """
    find(arch)
    settings = {key: value for key, value in given.items() if value is not None}
    transfer = settings.setdefault("transfer", "full" if weights == NONE else "head")
    settings.setdefault("epochs", 30 if transfer == "head" else 10)
    # A fresh linear layer on fixed features bears a larger step than trained convolutions do.
    fine_tuning = transfer == "full" and weights != NONE
    settings.setdefault("learning_rate", 1e-4 if fine_tuning else 1e-3)
    settings.setdefault("augment", "light" if fine_tuning else "none")
    try:
        return Recipe(arch=arch, data=str(data), weights=weights, **settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeInvalid(f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}") from error
