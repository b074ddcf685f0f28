"""The zoo's register: one entry per architecture, filled by the family modules."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from bundle.manifest import Preprocess, Scalar
from models.errors import UnknownArchitecture

FAMILIES = ("lenet", "resnet", "mobilenet", "efficientnet")
"""The modules of `models` that register architectures."""

IMAGENET = Preprocess(
    resize=256, crop=224, interpolation="bilinear", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
"""torchvision's evaluation transform of the V1 weights."""


@dataclass(frozen=True)
class Entry:
    """What the zoo knows of an architecture.

    build: makes the network, [N, 3, crop, crop] normalised float32 → logits [N, num_classes].
    head: dotted path of the last linear layer, which transfer learning replaces.
    preprocess: that of its weights, unless the weights say otherwise.
    classes, parameters: of the published network; a test holds the built one to them.
    torchvision: whether `--weights imagenet` exists under the same name there.
    """

    name: str
    title: str
    year: int
    paper: str
    build: Callable[..., nn.Module]
    head: str
    parameters: int
    classes: int = 1000
    preprocess: Preprocess = IMAGENET
    torchvision: bool = True
    arguments: dict[str, Scalar] = field(default_factory=dict)


_entries: dict[str, Entry] = {}


def register(entry: Entry) -> Entry:
    """Add an entry. Raises: ValueError when the name is taken."""
    if entry.name in _entries:
        raise ValueError(f"architecture {entry.name!r} is registered twice")
    _entries[entry.name] = entry
    return entry


def entries() -> dict[str, Entry]:
    """Every architecture by name."""
    for family in FAMILIES:
        importlib.import_module(f"models.{family}")
    return dict(sorted(_entries.items()))


def find(name: str) -> Entry:
    """The entry called `name`. Raises: UnknownArchitecture, with the near names."""
    known = entries()
    if name not in known:
        raise UnknownArchitecture(name, known)
    return known[name]


def build(name: str, num_classes: int, **arguments: Scalar) -> nn.Module:
    """A network with fresh weights for `num_classes`. Raises: UnknownArchitecture."""
    entry = find(name)
    return entry.build(num_classes=num_classes, **{**entry.arguments, **arguments})
