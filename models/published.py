"""What torchvision says of the weights it publishes: preprocessing, accuracy, operations. Read, never retyped."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torchvision import models as torchvision_models
from torchvision.models import WeightsEnum
from torchvision.transforms._presets import ImageClassification

from bundle.manifest import Preprocess

DATASET = "ImageNet-1K"


@dataclass(frozen=True)
class Published:
    """One set of published weights.

    top1, top5: per cent on ImageNet's validation pictures. gmacs: thousand millions of multiply-accumulates at
    `preprocess.crop` pixels. default: whether `--weights imagenet` takes this set.
    licence: where it differs from torchvision's own (BSD-3-Clause).
    """

    name: str
    top1: float
    top5: float
    gmacs: float
    parameters: int
    preprocess: Preprocess
    default: bool
    licence: str | None = None


def published_weights(name: str) -> tuple[Published, ...]:
    """torchvision's classification weights of the architecture `name`, oldest first; without bare features."""
    kinds = torchvision_models.get_model_weights(name)
    # An alias such as DEFAULT is the same member, and iteration leaves it out.
    members = [member for member in kinds if not math.isnan(_accuracy(member)["acc@1"])]
    return tuple(_record(member, default=member is kinds["DEFAULT"]) for member in members)


def imagenet_labels() -> tuple[str, ...]:
    """The 1,000 classes of ImageNet's challenge, in the order that everybody trains with."""
    return tuple(torchvision_models.ResNet18_Weights.DEFAULT.meta["categories"])


def preprocess_of(transforms: object) -> Preprocess:
    """torchvision's evaluation transform as our record. Raises: TypeError for another kind of transform."""
    if not isinstance(transforms, ImageClassification):
        raise TypeError(f"expected torchvision's ImageClassification transform, got {type(transforms).__name__}")
    return Preprocess.model_validate(
        {
            "resize": transforms.resize_size[0],
            "crop": transforms.crop_size[0],
            "interpolation": transforms.interpolation.value,
            "mean": tuple(transforms.mean),
            "std": tuple(transforms.std),
        }
    )


def _accuracy(member: WeightsEnum) -> dict[str, float]:
    figures: dict[str, float] = member.meta["_metrics"][DATASET]
    return figures


def _record(member: WeightsEnum, *, default: bool) -> Published:
    accuracy = _accuracy(member)
    return Published(
        name=member.name,
        top1=accuracy["acc@1"],
        top5=accuracy["acc@5"],
        # torchvision calls a multiply and its addition one operation.
        gmacs=member.meta["_ops"],
        parameters=member.meta["num_params"],
        preprocess=preprocess_of(member.transforms()),
        default=default,
        licence=member.meta.get("license"),
    )
