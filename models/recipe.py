"""What a training run is: every setting, checked when it is made, written into the checkpoint as resolved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from bundle.errors import near
from bundle.manifest import Preprocess, Record
from models.errors import RecipeInvalid
from models.registry import find
from models.weights import NONE

Positive = Annotated[int, Field(ge=1)]
Above = Annotated[float, Field(gt=0)]
AtLeast0 = Annotated[float, Field(ge=0)]

HEAD, FINETUNE, FULL, SCRATCH = "head", "finetune", "full", "scratch"


class PreprocessChange(Record):
    """What a recipe changes of the preprocessing that the weights bring; the rest stays theirs."""

    resize: int | None = None
    crop: int | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def of(self, spec: Preprocess) -> Preprocess:
        """The changed spec. Raises: RecipeInvalid."""
        changes = self.model_dump(exclude_none=True)
        if "crop" in changes and "resize" not in changes:
            # A picture that is cropped smaller is resized smaller too: the network sees the same share of it.
            changes["resize"] = round(spec.resize * changes["crop"] / spec.crop)
        try:
            return Preprocess.model_validate({**spec.model_dump(), **changes})
        except ValidationError as error:
            raise RecipeInvalid(_first(error, ("preprocess",))) from error


def _settings(value: Any) -> Any:
    """A whole spec is a change of everything."""
    return value.model_dump() if isinstance(value, Preprocess) else value


class Recipe(Record):
    """The settings of one training run.

    transfer: `head` trains a new last layer on a frozen backbone; `finetune` the head first, then the backbone in
        `stages`, from its end to its start, each with `stage_factor` times the learning rate of the one above it;
        `full` everything at once; `scratch` everything, from fresh weights.
    head_epochs, stage_epochs: of `finetune`: epochs with the head alone, and from one stage to the next.
    freeze_norm: of `finetune` and `full`: batch norms keep the statistics of the weights, for small batches.
    batch_size: of one step, over all devices together.
    loss: `cross_entropy`, or `mse` between the network's outputs and the one-hot label (Hui and Belkin, "Evaluation of
        Neural Architectures Trained with Square Loss vs Cross-Entropy", 2021).
    class_weights: `balanced` weighs a picture's loss by pictures / (classes · pictures of its class).
    sampling: `shuffle` takes every picture once an epoch; `balanced` draws as many, every class equally often.
    momentum: of `sgd` (Nesterov's) and `rmsprop`. weight_decay: not applied to biases and norms.
    schedule: of the learning rate, step by step: `cosine` to 0, `one_cycle` (Smith, 2018), `step` (times
        `step_factor` at each of `step_epochs`), `constant`; all but one_cycle rise over `warmup_epochs` first.
    augment: see `models.augment`. flip: pictures may be mirrored; not so digits, text and left hands.
    smallest_crop: share of the area that a random crop keeps at least; the preset has its own.
    mixup, cutmix: α of the Beta distribution (Zhang et al., 2018; Yun et al., 2019); 0 is off, with both each step
        takes one by chance.
    gradient_clip: the gradient's largest norm; 0 is off.
    ema: decay of the averaged weights that are validated and kept; 0 is off.
    patience: training ends after so many epochs without a better one; 0 is never.
    precision: `bf16` and `fp16` compute in it where that is safe; fp16 needs a GPU.
    validation_share: of data without a validation part.
    preprocess: what differs from the weights' own.
    """

    arch: str
    weights: str = NONE
    data: str
    transfer: Literal["head", "finetune", "full", "scratch"]
    epochs: Positive
    head_epochs: Positive = 2
    stages: Positive = 3
    stage_epochs: Positive = 1
    stage_factor: Annotated[float, Field(gt=0, le=1)] = 0.3
    freeze_norm: bool = False
    batch_size: Positive = 32
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    optimizer: Literal["adamw", "adam", "sgd", "rmsprop"] = "adamw"
    learning_rate: Above
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: AtLeast0 = 1e-4
    schedule: Literal["cosine", "one_cycle", "step", "constant"] = "cosine"
    warmup_epochs: AtLeast0 = 0.0
    step_epochs: tuple[Positive, ...] = ()
    step_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    augment: Literal["none", "light", "standard", "strong"]
    flip: bool = True
    smallest_crop: Annotated[float, Field(gt=0, le=1)] | None = None
    mixup: AtLeast0 = 0.0
    cutmix: AtLeast0 = 0.0
    gradient_clip: AtLeast0 = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    patience: Annotated[int, Field(ge=0)] = 0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    skip_bad: bool = False
    preprocess: Annotated[PreprocessChange, BeforeValidator(_settings)] = PreprocessChange()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.transfer == SCRATCH and self.weights != NONE:
            raise ValueError("transfer=scratch starts from fresh weights: leave --weights out, or say transfer=full")
        if self.transfer != SCRATCH and self.weights == NONE:
            raise ValueError(f"transfer={self.transfer} needs trained weights: give --weights imagenet or a file")
        if self.loss == "mse" and (self.label_smoothing or self.class_weights != "none"):
            raise ValueError("label_smoothing and class_weights are of loss=cross_entropy: leave them out with mse")
        if self.transfer == FINETUNE and self.last_thaw >= self.epochs:
            raise ValueError(
                f"the last of {self.stages} stages would be trained from epoch {self.last_thaw + 1} on, but epochs is "
                f"{self.epochs}: expected head_epochs + (stages - 1) · stage_epochs < epochs"
            )
        self._check_schedule()
        return self

    def _check_schedule(self) -> None:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be less than epochs ({self.epochs})")
        if self.warmup_epochs and self.schedule == "one_cycle":
            raise ValueError("one_cycle has a warm-up of its own: leave warmup_epochs out")
        if bool(self.step_epochs) != (self.schedule == "step"):
            raise ValueError("step_epochs and schedule=step belong together: step_epochs=[30, 60], for example")
        if list(self.step_epochs) != sorted(set(self.step_epochs)) or any(e >= self.epochs for e in self.step_epochs):
            raise ValueError(f"step_epochs must rise and be less than epochs ({self.epochs}): {self.step_epochs}")

    @property
    def last_thaw(self) -> int:
        """The epoch, from 0, in which `finetune` begins to train its last stage."""
        return self.head_epochs + (self.stages - 1) * self.stage_epochs

    @property
    def varies(self) -> bool:
        """Whether a picture looks different from epoch to epoch."""
        return self.augment != "none" or self.mixup > 0 or self.cutmix > 0

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def resolve_recipe(arch: str, data: Path | str, *, weights: str = NONE, **given: Any) -> Recipe:
    """A recipe with defaults that follow from what is trained; settings that are None count as not given.

    Raises: UnknownArchitecture, RecipeInvalid.
    """
    find(arch)
    settings = {key: value for key, value in given.items() if value is not None}
    transfer = settings.setdefault("transfer", SCRATCH if weights == NONE else HEAD)
    settings.setdefault("epochs", 30 if transfer == HEAD else 10)
    # A fresh linear layer on fixed features bears a larger step than trained convolutions do.
    settings.setdefault("learning_rate", 1e-4 if transfer == FULL else 1e-3)
    settings.setdefault("augment", "light" if transfer in (FINETUNE, FULL) else "none")
    return checked_recipe({"arch": arch, "data": str(data), "weights": weights, **settings})


def checked_recipe(settings: Mapping[str, Any]) -> Recipe:
    """The recipe of complete settings. Raises: RecipeInvalid, which names the near settings of an unknown one."""
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        raise RecipeInvalid(_first(error)) from error


def _first(error: ValidationError, inside: tuple[str, ...] = ()) -> str:
    first = error.errors(include_url=False)[0]
    path = (*inside, *(str(part) for part in first["loc"]))
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = PreprocessChange.model_fields if path[0] == "preprocess" else Recipe.model_fields
        return f"there is no setting {where!r}{near(path[-1], known)}"
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    return f"{where}: {first['msg']}, got {first['input']!r}"
