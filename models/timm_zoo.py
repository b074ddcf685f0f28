"""`timm/NAME`: any image classifier of the timm library, by the name that timm gives it (optional extra `timm`).

timm names its own heads and preprocessing; nothing of it is listed by `convoy zoo`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import nn

from bundle.manifest import Preprocess
from models.blank import count_parameters, without_numbers
from models.errors import NoSingleHead, UnknownTimm, WeightsUnavailable
from models.published import imagenet_labels
from models.registry import Entry, Fetched
from models.trace import trace


def open_entry(name: str) -> Entry:
    """The entry of `timm/NAME`, with or without a tag such as `.a1_in1k`.

    Raises: ModuleNotFoundError without timm, UnknownTimm, NoSingleHead.
    """
    import timm

    if not timm.is_model(name):
        raise UnknownTimm(name, timm.list_models())
    with without_numbers():
        network = timm.create_model(name)
    settings = network.pretrained_cfg
    head = settings.get("classifier")
    if not isinstance(head, str):
        raise NoSingleHead(name, head)
    preprocess = _preprocess(settings)
    return Entry(
        name=f"timm/{name}",
        title=f"timm {name}",
        year=_year(settings),
        paper=settings.get("paper_name") or settings.get("origin_url") or "see timm",
        build=partial(_build, name),
        head=head,
        parameters=count_parameters(network),
        classes=network.num_classes,
        preprocess=preprocess,
        torchvision=False,
        family="timm",
        backbone=tuple(part for part, _ in network.named_children() if part != head.partition(".")[0]),
        cam=_last_maps(network, preprocess.crop),
        fetch=partial(_fetch, name, preprocess),
    )


def _build(name: str, num_classes: int = 1000) -> nn.Module:
    import timm

    network: nn.Module = timm.create_model(name, num_classes=num_classes)
    return network


def _fetch(name: str, preprocess: Preprocess) -> Fetched:
    """timm's own download. Raises: WeightsUnavailable."""
    import timm

    try:
        network = timm.create_model(name, pretrained=True)
    except Exception as error:  # timm and its hub client raise anything, from OSError to RuntimeError
        raise WeightsUnavailable(f"timm/{name}", " ".join(str(error).split())[:160]) from error
    labels = imagenet_labels() if network.num_classes == 1000 else None
    return Fetched(network.state_dict(), labels, preprocess, f"timm {name}")


def _preprocess(settings: dict[str, Any]) -> Preprocess:
    """timm's evaluation transform: the short side to crop / crop_pct, rounded down, then the centre."""
    crop = settings["input_size"][-1]
    interpolation = settings["interpolation"]
    return Preprocess(
        resize=max(crop, math.floor(crop / settings["crop_pct"])),
        crop=crop,
        interpolation=interpolation if interpolation in ("bilinear", "bicubic") else "bicubic",
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )


def _last_maps(network: nn.Module, pixels: int) -> str:
    """The last module that gives maps of more than one pixel: the one to look at for a class activation map."""
    modules = {name for name, _ in network.named_modules()}
    layers = trace(network.eval(), torch.empty(1, 3, pixels, pixels, device="meta")).layers
    with_maps = [layer.name for layer in layers if len(layer.output) == 3 and layer.output[1] > 1]
    return next((name for name in reversed(with_maps) if name in modules), "")


def _year(settings: dict[str, Any]) -> int:
    """From the paper's arXiv number, 0 where timm names none."""
    number = str(settings.get("paper_ids") or "").rpartition("arXiv:")[2][:2]
    return 2000 + int(number) if number.isdecimal() else 0
