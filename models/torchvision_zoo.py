"""The rest of torchvision's convolutional classifiers: one row per family instead of a file each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torchvision import models as torchvision_models

from models.blank import without_numbers
from models.registry import register_torchvision
from models.resnet import BACKBONE as _RESNET


@dataclass(frozen=True)
class _Family:
    """`sizes` complete `stem` to torchvision's names."""

    title: str
    stem: str
    sizes: tuple[str, ...]
    year: int
    paper: str
    head: str
    backbone: tuple[str, ...]
    cam: str


_FAMILIES = {
    "squeezenet": _Family(
        title="SqueezeNet ",
        stem="squeezenet",
        sizes=("1_0", "1_1"),
        year=2016,
        paper="Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
        head="classifier.1",  # a 1x1 convolution: its 1,000 maps are averaged, there is no linear layer
        backbone=("features",),
        cam="features",
    ),
    "wide_resnet": _Family(
        title="Wide ResNet-",
        stem="wide_resnet",
        sizes=("50_2", "101_2"),
        year=2016,
        paper="Zagoruyko and Komodakis, Wide Residual Networks",
        head="fc",
        backbone=_RESNET,
        cam="layer4",
    ),
    "resnext": _Family(
        title="ResNeXt-",
        stem="resnext",
        sizes=("50_32x4d", "101_32x8d", "101_64x4d"),
        year=2016,
        paper="Xie et al., Aggregated Residual Transformations for Deep Neural Networks",
        head="fc",
        backbone=_RESNET,
        cam="layer4",
    ),
    "shufflenet": _Family(
        title="ShuffleNet v2 ",
        stem="shufflenet_v2_",
        sizes=("x0_5", "x1_0", "x1_5", "x2_0"),
        year=2018,
        paper="Ma et al., ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
        head="fc",
        backbone=("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"),
        cam="conv5",
    ),
    "mnasnet": _Family(
        title="MNASNet ",
        stem="mnasnet",
        sizes=("0_5", "0_75", "1_0", "1_3"),
        year=2018,
        paper="Tan et al., MnasNet: Platform-Aware Neural Architecture Search for Mobile",
        head="classifier.1",
        backbone=("layers",),
        cam="layers",
    ),
    "regnet": _Family(
        title="RegNet ",
        stem="regnet_",
        sizes=tuple(
            f"{kind}_{size}"
            for kind in "xy"
            for size in (
                "400mf",
                "800mf",
                "1_6gf",
                "3_2gf",
                "8gf",
                "16gf",
                "32gf",
                *(("128gf",) if kind == "y" else ()),
            )
        ),
        year=2020,
        paper="Radosavovic et al., Designing Network Design Spaces",
        head="fc",
        backbone=("stem", "trunk_output", "avgpool"),
        cam="trunk_output",
    ),
    "convnext": _Family(
        title="ConvNeXt ",
        stem="convnext_",
        sizes=("tiny", "small", "base", "large"),
        year=2022,
        paper="Liu et al., A ConvNet for the 2020s",
        head="classifier.2",
        backbone=("features", "avgpool"),
        cam="features",
    ),
}


def _size(text: str) -> str:
    """torchvision's `x_1_6gf` as `X 1.6GF`, `50_32x4d` as `50 32x4d`, `tiny` as `Tiny`."""
    text = re.sub(r"(?<![0-9])([0-3])_([0-9])", r"\1.\2", text).replace("_", " ")
    text = re.sub(r"^[xy] .*|^[a-z]+$", lambda match: match[0].upper(), text)
    return text.capitalize() if text.isalpha() else text


def _anywhere(builder: Callable[..., nn.Module], **arguments: Any) -> nn.Module:
    """Build under `torch.device("meta")` too: RegNet computes its widths with tensors, which need numbers there."""
    if torch.get_default_device().type != "meta":
        return builder(**arguments)
    with torch.device("cpu"), without_numbers():
        return builder(**arguments)


for _family, _facts in _FAMILIES.items():
    for _suffix in _facts.sizes:
        register_torchvision(
            _facts.stem + _suffix,
            _facts.title + _size(_suffix),
            year=_facts.year,
            paper=_facts.paper,
            family=_family,
            build=partial(_anywhere, getattr(torchvision_models, _facts.stem + _suffix)),
            head=_facts.head,
            backbone=_facts.backbone,
            cam=_facts.cam,
        )
